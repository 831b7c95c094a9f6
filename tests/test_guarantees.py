"""Proposition 4 with constants: a lower bound on the success probability that exact laws and tail bounds respect."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

import banditlab as bl
from banditlab.exact import chain
from banditlab.theory import guarantees


@pytest.mark.parametrize("start", [0.0, -2.0])
def test_the_guarantee_is_below_the_exact_probability_of_success(start):
    env = bl.instances.chain(start=start)
    floor = float(bl.theory.predicted_kl(env, bl.samplers.on_policy(env, env.log_target), 1.0))
    for n in (20, 100):
        law = chain.on_policy_law(n, 3, target=1.0, beta=1.0, max_norm=math.inf, initial=start)
        success = law.probs[-1][chain.kl_target(law.params, 1.0) <= 1e4 * floor / n].sum()
        assert guarantees.success_probability(env, n, 3, 1e4) <= success


def test_it_grows_with_the_batch_and_shrinks_with_the_distance():
    values = [guarantees.success_probability(bl.instances.chain(), n, 4, 20.0) for n in (10, 1e4, 1e6, 1e12)]
    assert values[0] == 0 < values[1] < values[2] <= values[3] < 1
    far = guarantees.success_probability(bl.instances.chain(start=-4.0), 1e4, 4, 20.0)
    assert far == 0


def test_the_score_bound_holds_for_a_gaussian_score():
    # n lam^2 tends to a chi^2 with `rank` degrees of freedom; kappa = 1/4 is the least that a label can vary.
    for rank in (1, 4):
        for chance in (0.5, 0.1, 1e-3, 1e-6):
            assert chi2.sf(guarantees.score_bound(rank, 0.25, chance), rank) <= chance


def test_the_kl_factor_is_that_of_proposition_2():
    assert guarantees.kl_factor(0.0) == 0.5
    assert guarantees.kl_factor(2.0) == pytest.approx((math.e**2 - 3) / 4, rel=1e-12)
    assert guarantees.kl_factor(1e3) == math.inf


def test_initial_distance_of_the_chain_is_its_osc():
    env = bl.instances.chain(target=1.0, start=-2.0)
    assert guarantees.initial_distance(env) == pytest.approx(3.0, rel=1e-12)
    assert guarantees.initial_distance(env) == pytest.approx(float(bl.theory.oscillation(env, np.array([-2.0]))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_pairs": 0}, "num_pairs must be a whole number of at least 1; got 0"),
        ({"num_rounds": 0}, "num_rounds must be a whole number of at least 1; got 0"),
        ({"factor": -1.0}, "factor must be positive.*; got -1.0"),
        ({"failure": 1.0}, "failure must lie strictly between 0 and 1; got 1.0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"num_pairs": 100, "num_rounds": 2, "factor": 20.0} | change
    with pytest.raises(ValueError, match=message):
        guarantees.success_probability(bl.instances.chain(), **arguments)


def test_a_reward_table_has_no_distance():
    with pytest.raises(ValueError, match="env must be created with target_params"):
        guarantees.initial_distance(bl.instances.tabular([[0.0, 1.0]]))
