"""Pessimistic likelihood, chi-PO, the exact law of the Zhu-Jordan-Jiao instance, and the checks of `pessimism`."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_environment, random_policy, random_wins
from scipy.optimize import minimize
from scipy.special import expit, lambertw, logsumexp, wrightomega
from scipy.stats import binom
from tables import committed, failing

import banditlab as bl
from banditlab.estimators import chi_po, pessimism
from banditlab.exact import zhu_jordan_jiao as exact
from experiments.coverage import pessimism as experiment

ENV = random_environment(3)
WINS = random_wins(3, (3, 4))
REWARD = np.random.default_rng(5).standard_normal((3, 4)) * 3
TEMPERATURE = 0.4


def _without_an_action(env):
    reference = np.exp(np.asarray(env.log_reference))
    reference[0, 1] = 0.0
    with np.errstate(divide="ignore"):
        return env.replace(log_reference=np.log(reference / reference.sum(1, keepdims=True)), log_base=None)


@pytest.fixture(scope="module")
def fitted():
    """theta_hat and G of ENV and WINS."""
    return bl.estimators.fit(ENV, WINS).params, pessimism.gram(ENV, WINS, 0.5)


# chi-PO


def test_log_omega_is_the_logarithm_of_the_lambert_function_of_the_exponential():
    moderate = np.linspace(-30.0, 700.0, 5001)
    ours = np.asarray(chi_po.log_omega(jnp.asarray(moderate)))
    np.testing.assert_allclose(np.exp(ours), lambertw(np.exp(moderate)).real, rtol=1e-13)
    extreme = np.concatenate([-np.logspace(0, 2.8, 200), np.logspace(0, 300, 400)])
    ours = np.asarray(chi_po.log_omega(jnp.asarray(extreme)))
    np.testing.assert_allclose(ours, np.log(wrightomega(extreme)), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(chi_po.link(chi_po.log_omega(jnp.asarray(moderate))), moderate, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("temperature", [1e-4, 0.4, 1e4])
def test_the_chi_po_optimum_sums_to_one_and_is_stationary_on_the_support(temperature):
    env = _without_an_action(ENV)
    log_policy = np.asarray(chi_po.policy(env, jnp.asarray(REWARD), temperature))
    np.testing.assert_allclose(np.exp(log_policy).sum(1), 1.0, rtol=1e-12)
    assert log_policy[0, 1] == -math.inf
    seen = np.isfinite(np.asarray(env.log_reference))
    log_ratio = np.where(seen, log_policy, 0.0) - np.where(seen, env.log_reference, 0.0)
    multiplier = np.asarray(chi_po.normaliser(env, jnp.asarray(REWARD), temperature))
    stationary = REWARD - temperature * (np.exp(log_ratio) + log_ratio)
    scale = np.abs(REWARD).max() + temperature
    np.testing.assert_allclose(np.where(seen, stationary - multiplier[:, None], 0.0), 0.0, atol=1e-12 * scale)


def test_no_policy_has_a_larger_chi_po_objective_than_the_optimum():
    objective = jax.jit(lambda log_policy: chi_po.value(ENV, jnp.asarray(REWARD), log_policy, TEMPERATURE))
    log_policy = chi_po.policy(ENV, jnp.asarray(REWARD), TEMPERATURE)
    best = float(objective(log_policy))
    others = [jnp.asarray(random_policy(seed, (3, 4))) for seed in range(20)]
    mixed = [jnp.log(0.99 * jnp.exp(log_policy) + 0.01 * jnp.exp(other)) for other in others]
    assert max(float(objective(other)) for other in others + mixed) < best
    # D is the chi-squared divergence halved.
    p, q = np.exp(others[0]), np.exp(np.asarray(ENV.log_reference))
    expected = 0.5 * np.asarray(ENV.context_probs) @ (p**2 / q).sum(1) - 0.5
    assert float(chi_po.divergence(ENV, others[0])) == pytest.approx(expected, rel=1e-12)


def test_the_chi_po_fit_maximises_the_likelihood_of_its_implied_margins():
    found = chi_po.fit(ENV, WINS, temperature=TEMPERATURE)
    implied = np.asarray(chi_po.implied_reward(ENV, found.log_policy, TEMPERATURE))
    margins = implied[:, :, None] - implied[:, None, :]
    theta = np.asarray(found.rewards.params)
    scores = float(ENV.beta) * np.asarray(ENV.features) @ theta
    np.testing.assert_allclose(margins, scores[:, :, None] - scores[:, None, :], atol=1e-12)
    # At the maximum the residuals are orthogonal to every feature difference (I7).
    residual = WINS * expit(-margins)
    flow = residual.sum(2) - residual.sum(1)
    np.testing.assert_allclose(np.einsum("xa,xad->d", flow, np.asarray(ENV.features)), 0.0, atol=1e-8)


def test_chi_po_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"env must have log_base = log_reference.*got another base"):
        chi_po.fit(bl.instances.partial_coverage(4, 0.9), np.ones((1, 4, 4)))
    with pytest.raises(ValueError, match=r"reward must be \(3, 4\); got \(4,\)"):
        chi_po.policy(ENV, jnp.zeros(4), 1.0)
    with pytest.raises(ValueError, match=r"temperature must be positive and finite; got 0.0"):
        chi_po.policy(ENV, jnp.zeros((3, 4)), 0.0)


# Pessimism


def test_the_gram_matrix_sums_over_labels(fitted):
    features, total = np.asarray(ENV.features), 0.5 * np.eye(3)
    for x, i, j in itertools.product(range(3), range(4), range(4)):
        z = features[x, i] - features[x, j]
        total += WINS[x, i, j] * np.outer(z, z)
    np.testing.assert_allclose(fitted[1], total, rtol=1e-12)


def test_the_lower_bound_is_the_least_reward_in_the_ellipsoid(fitted):
    theta, gram = (np.asarray(array) for array in fitted)
    comparison = random_policy(9, (3, 4))
    bound = np.asarray(pessimism.lower_bound(ENV, *fitted, 2.0, jnp.asarray(comparison)))
    offset = np.asarray(ENV.features)
    offset = offset - np.einsum("xa,xad->xd", np.exp(comparison), offset)[:, None]
    directions = np.random.default_rng(0).standard_normal((20_000, 3))
    surface = theta + 2.0 * directions / np.sqrt(np.einsum("nd,de,ne->n", directions, gram, directions))[:, None]
    rewards = float(ENV.beta) * np.einsum("nd,xad->nxa", surface, offset)
    assert (rewards >= bound - 1e-12).all()
    np.testing.assert_allclose(rewards.min(0), bound, atol=5e-3)
    estimated = float(ENV.beta) * offset @ theta
    np.testing.assert_allclose(pessimism.lower_bound(ENV, *fitted, 0.0, jnp.asarray(comparison)), estimated, atol=1e-12)


@pytest.mark.parametrize("width", [0.3, 3.0, 30.0])
def test_the_pessimist_is_the_constrained_minimum_and_a_saddle_point(fitted, width):
    theta, gram = (np.asarray(array) for array in fitted)
    rho, features = np.asarray(ENV.context_probs), np.asarray(ENV.features)
    comparison = random_policy(9, (3, 4))
    mean = np.einsum("x,xa,xad->d", rho, np.exp(comparison), features)

    def value(params):
        return float(rho @ logsumexp(np.asarray(ENV.log_reference) + features @ params, axis=1) - params @ mean)

    def slack(params):
        return width**2 - (params - theta) @ gram @ (params - theta)

    options = {"method": "SLSQP", "options": {"ftol": 1e-13, "maxiter": 300}}
    independent = minimize(value, theta, constraints=[{"type": "ineq", "fun": slack}], **options)
    found = pessimism.pessimist(ENV, *fitted, width, jnp.asarray(comparison))
    params = np.asarray(found.params)
    assert bool(found.converged)
    assert float(found.distance) <= width * (1 + 1e-9)
    assert value(params) <= independent.fun + 1e-9
    # The other half of the saddle: in the whole ellipsoid no reward is worse for the policy pi_{theta_pess}.
    slope = np.einsum("x,xa,xad->d", rho, np.exp(ENV.log_policy(found.params)), features) - mean
    worst = theta @ slope - width * math.sqrt(slope @ np.linalg.solve(gram, slope))
    assert params @ slope == pytest.approx(worst, abs=1e-8)


def test_pessimism_ends_at_the_estimate_for_no_width_and_at_the_reference_for_every_width(fitted):
    np.testing.assert_allclose(pessimism.pessimist(ENV, *fitted, 1e-9).params, fitted[0], atol=1e-8)
    found = pessimism.pessimist(ENV, *fitted, 1e4)
    np.testing.assert_allclose(found.params, 0.0, atol=1e-9)
    assert float(found.distance) == pytest.approx(math.sqrt(fitted[0] @ fitted[1] @ fitted[0]))


def test_pessimism_refuses_bad_arguments(fitted):
    with pytest.raises(ValueError, match="ridge must be positive and finite; got 0"):
        pessimism.gram(ENV, WINS, 0.0)
    with pytest.raises(ValueError, match=r"wins must be \(3, 4, 4\); got \(4, 4\)"):
        pessimism.gram(ENV, WINS[0])
    with pytest.raises(ValueError, match="width must be non-negative and finite; got -1"):
        pessimism.lower_bound(ENV, *fitted, -1.0)
    with pytest.raises(ValueError, match="width must be positive and finite; got 0"):
        pessimism.pessimist(ENV, *fitted, 0.0)
    with pytest.raises(ValueError, match=r"log_comparison must be \(3, 4\); got \(4,\)"):
        pessimism.lower_bound(ENV, *fitted, 1.0, jnp.zeros(4))


def test_greedy_shares_ties_and_leaves_the_others_out():
    values = jnp.asarray([[1.0, 1.0, 0.0, -1.0]])
    chosen = pessimism.greedy(bl.instances.zhu_jordan_jiao(), values)
    np.testing.assert_allclose(np.exp(chosen), [[0.5, 0.5, 0.0, 0.0]], rtol=1e-12)


# The exact law


@pytest.fixture(scope="module")
def enumerated():
    """n -> (arms, label sequences) gaps by the library, and the probability of every sequence of labels."""
    config = experiment.Config()
    env = bl.instances.zhu_jordan_jiao()
    with np.errstate(divide="ignore"):
        comparisons = jnp.log(jnp.asarray(np.stack(list(experiment.COMPARISONS.values()))))[:, None]
    widths = jnp.asarray(
        [config.narrow if arm == experiment.NARROW else config.width for arm in experiment.COMPARISONS]
    )

    @jax.jit
    def gaps(wins):
        found = chi_po.fit(env, wins, temperature=config.temperature, max_norm=config.max_norm)
        params, gram = found.rewards.params, pessimism.gram(env, wins, config.ridge)
        bounds = jax.vmap(lambda w, nu: pessimism.lower_bound(env, params, gram, w, nu))(widths, comparisons)
        values = jnp.concatenate([(env.features @ params)[None], bounds])
        played = jnp.concatenate([jax.vmap(lambda v: pessimism.greedy(env, v))(values), found.log_policy[None]])
        return 0.1 - jnp.exp(played[:, 0]) @ env.reward[0]

    def law(num_labels):
        values, probs = [], []
        for labels in itertools.product([0, 1], repeat=num_labels):
            pairs = [(0, 1)] * (num_labels - 1) + [(1, 2)]
            chosen = [pair[label] for pair, label in zip(pairs, labels, strict=True)]
            rejected = [pair[1 - label] for pair, label in zip(pairs, labels, strict=True)]
            shape = (1, 4)
            wins = bl.preferences.wins_from_comparisons([0] * num_labels, chosen, rejected, shape=shape)
            values.append(np.asarray(gaps(wins)))
            rewards = np.asarray(env.reward[0])
            probs.append(math.prod(expit(rewards[w] - rewards[v]) for w, v in zip(chosen, rejected, strict=True)))
        return np.stack(values, axis=1), np.asarray(probs)

    return law


@pytest.mark.parametrize("num_labels", [2, 5, 6])
def test_the_exact_law_is_the_enumeration_of_all_label_sequences(enumerated, num_labels):
    config = experiment.Config()
    values, probs = enumerated(num_labels)
    assert probs.sum() == pytest.approx(1.0, abs=1e-12)
    law = experiment.exact_gaps(config, num_labels)
    arms = (experiment.GREEDY, *experiment.COMPARISONS, f"chi_po b={config.temperature:g}")
    for arm, gaps in zip(arms, values, strict=True):
        mean, deviation = law[arm]
        assert mean == pytest.approx(probs @ gaps, abs=1e-8), arm
        assert deviation == pytest.approx(math.sqrt(probs @ (gaps - mean) ** 2), abs=1e-7), arm


@pytest.mark.parametrize("num_labels", [2, 3, 100, 1001])
def test_the_greedy_gap_is_its_closed_form_whatever_the_cap(num_labels):
    """sigma(-1) + 0.1 [P(w < m/2) + P(w = m/2)/2], m = n - 1."""
    laws = [exact.outcomes(num_labels, cap) for cap in (0.5, 2.0, 50.0)]
    means = [exact.mean_and_deviation(law, exact.greedy_gaps(law))[0] for law in laws]
    trials = num_labels - 1
    count = np.arange(trials + 1)
    below = np.where(2 * count < trials, 1.0, np.where(2 * count == trials, 0.5, 0.0))
    predicted = expit(-1.0) + 0.1 * binom.pmf(count, trials, expit(0.1)) @ below
    np.testing.assert_allclose(means, predicted, rtol=1e-10)


def test_the_limits_are_sigma_zero_and_one():
    limits = {arm: mean for arm, (mean, _) in experiment.exact_gaps(experiment.Config(), math.inf).items()}
    sigma = pytest.approx(expit(-1.0), abs=1e-12)
    assert limits[experiment.GREEDY] == limits[experiment.UNIFORM] == limits[experiment.NARROW] == sigma
    assert limits[experiment.COVERED] == pytest.approx(0.0, abs=1e-15)
    assert limits[experiment.UNCOVERED] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("num_labels", [2, 9, 100, 10**6])
def test_from_the_second_width_on_neither_of_the_first_actions_is_played(num_labels):
    law, comparison = exact.outcomes(num_labels, 2.0), np.eye(4)[2]
    always, never = exact.playable_widths(2.0, 1.0)
    assert np.isin(np.round(exact.pessimistic_gaps(law, never, 1.0, comparison), 9), [0.0, 0.05, 0.1]).all()
    if num_labels == 10**6:  # many labels: a_1, whose gap is 1, stays playable below the first width
        assert exact.pessimistic_gaps(law, 0.99 * always, 1.0, comparison).max() == pytest.approx(1.0, abs=1e-9)


def test_a_width_at_which_the_claim_is_false_is_refused():
    with pytest.raises(
        ValueError, match=r"narrow must be below 2.828, width at least 4; got narrow = 2.0, width = 3.9"
    ):
        experiment.Config(width=3.9)


def test_the_exact_law_refuses_too_few_labels():
    with pytest.raises(ValueError, match="num_labels must be at least 2 and max_norm above 0.1; got num_labels = 1"):
        exact.outcomes(1, 2.0)
    with pytest.raises(ValueError, match="num_labels must be a whole number of at least 1 or inf; got 2.5"):
        exact.outcomes(2.5, 2.0)


# The experiment's checks


def test_one_data_set_on_which_uniform_pessimism_acts_is_caught():
    table = committed("pessimism")["simulated"]
    share = np.where(table["arm"] == experiment.UNIFORM, 1e-5, table["unlike_greedy"])
    (claim,) = failing("pessimism", "simulated", unlike_greedy=share)
    assert "measured from the uniform policy" in claim


def test_a_gap_far_from_its_exact_value_is_caught_in_every_arm():
    table = committed("pessimism")["simulated"]
    error = table["deviation"] / np.sqrt(table["seeds"])
    claims = failing("pessimism", "simulated", gap=table["gap"] + 8 * error + 1e-9)
    for arm in (experiment.GREEDY, *experiment.COMPARISONS):
        assert any(f"expected gap, {arm}," in claim for claim in claims)


def test_a_failed_fit_is_caught():
    failed = committed("pessimism")["simulated"]["failed"].copy()
    failed[0] = 1
    assert failing("pessimism", "simulated", failed=failed) == ["likelihood fits that did not converge"]
