"""fair_fight: tilted references alone reach its frontier, and its checks, which are bounds, are seen to fail."""

import numpy as np
import pytest
from tables import broken_claims, committed, failing

from banditlab.exact.frontier import least_gap


def test_the_frontier_is_reached_by_tilted_references_and_passed_by_no_policy():
    rng = np.random.default_rng(0)
    reference, reward, beta = rng.dirichlet(np.ones(5)), rng.standard_normal(5), 0.6

    def gap_and_kl(policy):
        kl = policy @ np.log(policy / reference)
        best = beta * np.log(reference @ np.exp(reward / beta))
        return best - policy @ reward + beta * kl, kl

    for price in (0.2, beta, 3.0):
        tilted = reference * np.exp(reward / price)
        gap, kl = gap_and_kl(tilted / tilted.sum())
        assert least_gap(reward, np.log(reference), kl, beta) == pytest.approx(gap, abs=1e-4)
    found = np.array([gap_and_kl(policy) for policy in rng.dirichlet(np.ones(5), 1000)])
    assert (found[:, 0] >= least_gap(reward, np.log(reference), found[:, 1], beta)).all()


@pytest.mark.parametrize("part", ["dpo", "hypo"])
def test_a_setting_beyond_the_exact_frontier_is_caught(part):
    ahead = committed("fair_fight")[part]["over_frontier"].copy()
    ahead[0] = -1e-6
    (claim,) = failing("fair_fight", part, over_frontier=ahead)
    assert "frontier" in claim


def test_an_untuned_dpo_as_good_as_hypo_is_caught():
    dpo = committed("fair_fight")["dpo"]
    claims = failing("fair_fight", "dpo", gap=0.1 * dpo["gap"], gap_se=0.1 * dpo["gap_se"])
    assert sum("run to the end" in claim for claim in claims) == 2


def test_a_tuned_dpo_far_behind_is_caught():
    tables = committed("fair_fight")
    late = tables["dpo"]["behind_tuned_hypo"] + max(table["gap"].max() for table in tables.values())
    claims = broken_claims("fair_fight", tables, "dpo", behind_tuned_hypo=late)
    assert sum("at most a tenth" in claim for claim in claims) == 2
