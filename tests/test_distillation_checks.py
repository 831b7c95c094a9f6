"""The checks of the experiment reward_distillation can fail: each is seen to."""

import numpy as np
from tables import committed, failing

from experiments.coverage.reward_distillation import runs

NAME = "reward_distillation"


def test_violated_bounds_unexplained_runs_and_swapped_samplers_are_caught():
    found = committed(NAME)
    for part, claim in ((runs.RECOVERY, "minimum change"), (runs.FLOOR, "without rank d")):
        counts = np.where(found["part"] == part, 1, found["unexplained"])
        assert claim in failing(NAME, unexplained=counts)[0]
    (claim,) = failing(NAME, share=np.where(found["part"] == runs.TEACHER, 1 + 1e-8, found["share"]))
    assert "coverage times weighted teacher error" in claim
    for place, sign in (("top", "grows"), ("bottom", "shrinks")):
        swapped = {f"{place} refreshed": f"{place} never", f"{place} never": f"{place} refreshed"}
        arms = np.asarray([swapped.get(arm, arm) for arm in found["arm"]])
        assert any(sign in claim for claim in failing(NAME, arm=arms))
