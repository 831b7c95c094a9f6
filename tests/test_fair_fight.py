"""The checks of fair_fight are bounds: each is seen to fail."""

import numpy as np
from tables import committed, failing


def test_a_setting_beyond_the_exact_frontier_is_caught():
    ahead = committed("fair_fight")["over_frontier"].copy()
    ahead[0] = -1e-6
    (claim,) = failing("fair_fight", over_frontier=ahead)
    assert "frontier" in claim


def test_an_untuned_dpo_as_good_as_hypo_is_caught():
    table = committed("fair_fight")
    scale = np.where(table["arm"] == "dpo", 0.1, 1.0)
    claims = failing("fair_fight", gap=scale * table["gap"], gap_se=scale * table["gap_se"])
    assert sum("run to the end" in claim for claim in claims) == 2


def test_a_tuned_dpo_far_behind_is_caught():
    table = committed("fair_fight")
    claims = failing("fair_fight", behind_tuned_hypo=table["behind_tuned_hypo"] + table["gap"].max())
    assert sum("at most a tenth" in claim for claim in claims) == 2
