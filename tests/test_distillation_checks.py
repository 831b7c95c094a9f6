"""The checks of the experiment reward_distillation can fail: each is seen to."""

import numpy as np
from tables import committed, failing

NAME = "reward_distillation"


def test_violated_bounds_unexplained_runs_and_swapped_samplers_are_caught():
    assert "minimum change" in failing(NAME, "recovery", unexplained=1)[0]
    assert "without rank d" in failing(NAME, "floors", undetermined=1)[0]
    (claim,) = failing(NAME, "teacher", share=1 + 1e-8)
    assert "coverage times weighted teacher error" in claim
    for place, sign in (("top", "grows"), ("bottom", "shrinks")):
        swapped = {f"{place} refreshed": f"{place} never", f"{place} never": f"{place} refreshed"}
        arms = np.asarray([swapped.get(arm, arm) for arm in committed(NAME)["teacher"]["arm"]])
        assert any(sign in claim for claim in failing(NAME, "teacher", arm=arms))
