"""Sample complexity, data reuse, phase diagram and misspecification: closed forms, and checks that can fail."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2
from tables import committed, failing

import banditlab as bl
from banditlab.exact import chi_squares, pseudo_true, sample_estimates
from banditlab.exact.bisection import bisection
from experiments.coverage import data_reuse, phase_diagram
from experiments.coverage.misspecification import SAMPLERS, pseudo_true_params, win_probs
from experiments.coverage.phase_diagram import runs as phase_cells
from experiments.coverage.sample_complexity import Config, limit_median, search


def test_the_median_of_a_sum_of_chi_squares():
    assert chi_squares.median(np.ones(1)) == pytest.approx(chi2.median(1), rel=1e-5)
    assert chi_squares.median(0.3 * np.ones(5)) == pytest.approx(0.3 * chi2.median(5), rel=1e-9)


def test_the_error_of_a_sample_median_is_that_of_normal_samples():
    ordered = np.sort(np.random.default_rng(0).standard_normal((400, 10_000)), axis=1)
    medians, errors = sample_estimates.median(ordered)
    assert errors.mean() == pytest.approx(np.sqrt(np.pi / 2 / 10_000), rel=0.02)
    assert medians.std() == pytest.approx(errors.mean(), rel=0.15)


def test_a_slope_and_its_error_are_those_of_least_squares():
    x, y = np.array([0.0, 1.0, 3.0, 4.0]), np.array([1.0, 2.0, 2.5, 7.0])
    found, error = sample_estimates.slope(x, y, np.full(4, 0.2))
    wanted, covariance = np.polyfit(x, y, 1, cov="unscaled")
    assert found == pytest.approx(wanted[0], rel=1e-12)
    assert error == pytest.approx(0.2 * np.sqrt(covariance[0, 0]), rel=1e-12)


def test_bisection_closes_in_on_where_the_condition_starts_to_hold():
    edges = np.array([0.2, 0.7])
    found = bisection(lambda x: x > edges, np.zeros(2), np.ones(2), 20)
    assert found == pytest.approx(edges, abs=2.0**-21)
    found = bisection(lambda x: x > edges, np.full(2, 0.01), np.ones(2), 60, geometric=True)
    np.testing.assert_allclose(found, edges, rtol=1e-14)


def test_the_limit_median_of_the_chain_is_its_price():
    env = bl.instances.chain()
    law = bl.samplers.initial(env, env.log_initial)
    information = np.asarray(bl.theory.fisher_information(env, law))
    wanted = 0.5 * float(bl.theory.label_price(env, law)) * chi2.median(1)
    assert limit_median(env, information) == pytest.approx(wanted, rel=1e-5)


def test_an_unreachable_target_is_an_explicit_infinity():
    env = bl.instances.chain()
    config = Config(ridge=0.0, num_seeds=8, num_steps=1)
    found = search("offline", env, np.array([1e-30]), np.array([1e15]), config, bl.designs.joint(env), final_seeds=16)
    assert not found["reached"].any()
    assert np.isinf(found["labels"]).all()


def test_the_ideal_decay_is_the_weighted_average_of_equal_batches():
    env = bl.instances.chain(target=0.5, start=0.5)  # pi_0 = pi*
    floor = data_reuse.ideal(env, 0.0, 3)
    assert floor == pytest.approx(float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial))) / 2)
    assert data_reuse.ideal(env, 1.0, 5) == pytest.approx(floor / 5, rel=1e-12)
    assert data_reuse.ideal(env, 0.5, 60) == pytest.approx(floor / 3, rel=1e-12)


def test_the_weighted_prediction_is_the_pooled_one_at_equal_weights():
    env = bl.instances.staircase(3, start=1.0)
    information = bl.theory.fisher_information(env, bl.samplers.initial(env, env.log_initial))
    pooled = bl.theory.predicted_kl_pooled(env, 7.0 * information)
    assert float(bl.theory.predicted_kl_weighted(env, 7.0 * information, 7.0 * information)) == pytest.approx(
        float(pooled), rel=1e-10
    )
    assert np.isinf(bl.theory.predicted_kl_weighted(env, jnp.zeros((3, 3)), information))


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_a_wrong_temperature_rescales_the_parameter_whatever_the_sampler(temperature):
    env = bl.instances.staircase(3, start=1.0)
    table = win_probs(env, "temperature", np.log2(temperature))
    for sampler in SAMPLERS:
        truth = pseudo_true_params(env, table, sampler, 2)
        assert truth == pytest.approx(np.asarray(env.target_params) / temperature, abs=1e-8)


def test_without_noise_the_sandwich_is_the_inverse_information():
    env = bl.instances.staircase(3, start=1.0)
    law = np.asarray(bl.samplers.initial(env, env.log_initial))
    table = win_probs(env, "flips", 0.0)
    information = np.asarray(bl.theory.fisher_information(env, jnp.asarray(law)))
    found = pseudo_true.sandwich(np.asarray(env.features), 1.0, table, law, np.asarray(env.target_params))
    assert found @ information == pytest.approx(np.eye(3), abs=1e-9)


def test_a_second_round_is_a_first_one_from_the_policy_of_the_minimiser():
    env = bl.instances.staircase(3, start=1.0)
    table = win_probs(env, "flips", 0.2)
    features, log_base, start = (np.asarray(leaf) for leaf in (env.features, env.log_base, env.target_params))

    def after(scores, rounds):
        return pseudo_true.recursion(features, 1.0, table, np.ones(1), scores, log_base, start, rounds)

    law = np.asarray(bl.samplers.initial(env, env.log_initial))
    once = after(np.asarray(env.log_initial), 1)
    assert once == pytest.approx(pseudo_true.minimiser(features, 1.0, table, law, start), abs=1e-10)
    twice = after(np.asarray(env.log_initial), 2)
    assert twice == pytest.approx(after(log_base + features @ once, 1), abs=1e-10)
    assert np.abs(twice - once).max() > 1e-3


def test_the_mean_kl_is_that_of_the_library():
    env = bl.instances.staircase(3, start=1.0)
    scores = np.asarray(env.log_target), np.asarray(env.log_initial) + 5.0
    found = pseudo_true.mean_kl(np.asarray(env.context_probs), *scores)
    assert found == pytest.approx(float(bl.metrics.kl_target(env, env.log_initial)), rel=1e-10)


def test_the_cycles_are_no_reward_differences():
    env = bl.instances.staircase(4)
    logit = np.log(1 / (1 / win_probs(env, "cycles", 0.7) - 1))[0]
    extra = logit - np.asarray(bl.preferences.reward_gaps(env))[0]
    assert extra == pytest.approx(-extra.T, abs=1e-9)
    assert abs(extra[0, 1] + extra[1, 2] + extra[2, 0]) > 1


def test_an_exact_cell_or_a_guarantee_that_is_half_of_what_it_should_be_is_caught():
    tables = committed("phase_diagram")
    claims = failing("phase_diagram", "exact", exact_success=0.5 * tables["exact"]["exact_success"])
    assert any("success" in claim for claim in claims)
    cells = tables["guarantees"]
    promised = np.where(cells["guarantee"] > 0, 0.5 * cells["guarantee"], cells["success"])
    assert any("guarantee" in claim for claim in failing("phase_diagram", "guarantees", success=promised))


def test_a_run_is_a_success_when_it_ends_within_the_factor_of_the_floor():
    env = phase_cells.INSTANCES["chain"](0.0, 1.0)
    found = phase_cells.exact(phase_diagram.experiment.Config(num_rounds=1), [0.0], [5], "none")
    # One batch of five: all informative pairs may agree, and then the KL is infinite.
    assert 0 < found["success"][0, 0] < 1
    assert phase_cells.floor(env) > 0


def test_a_prediction_wrong_by_ten_percent_is_caught():
    assert failing("data_reuse", ideal=1.1 * committed("data_reuse")["ideal"])
    ends, spread = (committed("misspecification")[part] for part in ("ends", "spread"))
    assert failing("misspecification", "ends", pseudo_true_kl=1.1 * ends["pseudo_true_kl"])
    assert failing("misspecification", "spread", sandwich=1.1 * spread["sandwich"])
