"""Closed forms of training limits, against autodiff, independent NumPy descent and search; and their experiments."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_policy
from scipy.optimize import minimize_scalar
from scipy.sparse.csgraph import connected_components
from scipy.special import expit
from tables import committed, failing

import banditlab as bl
from banditlab import gradient_limits as limits
from banditlab import one_sided, scenarios
from banditlab.exact import imputation

SHAPE = (2, 6)
BETA = 0.7
SEEN = np.array([[True, True, True, True, False, False], [True, True, True, True, True, False]])
# All seen pairs of the first context but one; two components in the second.
PAIRS = np.zeros((2, 6, 6))
for _x, _i, _j in ((0, 0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 0), (0, 0, 2), (1, 0, 1), (1, 2, 1), (1, 3, 4)):
    PAIRS[_x, _i, _j] = 0.125


def bandit(seed=0, beta=1.0):
    rng = np.random.default_rng(seed)
    return bl.instances.tabular(rng.standard_normal(SHAPE), random_policy(seed, SHAPE), beta=beta)


ENV = bandit()
REWARD = np.asarray(ENV.reward)


def dpo_loss(logits, env, outcomes, beta):
    """The population DPO loss of a table of logits, written out."""
    ratio = jax.nn.log_softmax(logits, axis=1) - env.log_reference
    margins = beta * (ratio[:, :, None] - ratio[:, None, :])
    return jnp.sum(outcomes * jax.nn.softplus(-margins))


def mean_kl(logits, env):
    logs = jax.nn.log_softmax(logits, axis=1)
    return jnp.sum(env.context_probs[:, None] * jnp.exp(logs) * (logs - env.log_reference))


def numpy_descent(env, outcomes, beta, step_size, momentum, num_steps):
    """Heavy-ball descent on the DPO loss in plain NumPy, from the reference."""
    start = np.asarray(env.log_reference)
    logits, velocity = start.copy(), np.zeros(SHAPE)
    for _ in range(num_steps):
        ratio = logits - start
        flow = beta * outcomes * expit(-beta * (ratio[:, :, None] - ratio[:, None, :]))
        velocity = momentum * velocity + flow.sum(axis=2) - flow.sum(axis=1)
        logits = logits + step_size * velocity
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


@pytest.mark.parametrize(("step_size", "momentum"), [(10.0, 0.0), (1.5, 0.9)])
def test_descent_of_any_step_size_and_momentum_ends_at_the_dpo_limit(step_size, momentum):
    outcomes = np.asarray(bl.preferences.outcome_law(ENV, jnp.asarray(PAIRS)))
    trained = numpy_descent(ENV, outcomes, BETA, step_size, momentum, 4000)
    predicted = limits.dpo_flow_limit(ENV, REWARD, SEEN, pairs=PAIRS, beta=BETA)
    np.testing.assert_allclose(trained, predicted, atol=1e-11)


def test_components_are_those_of_the_graph():
    rng = np.random.default_rng(1)
    pairs = np.where(rng.random((2, 6, 6)) < 0.12, 1.0, 0.0) * SEEN[:, :, None] * SEEN[:, None, :]
    for table in (pairs, PAIRS, np.eye(6)[None] + np.zeros((2, 1, 1)) + np.diag(np.ones(5), 1)):
        linked = np.asarray(limits.components(ENV, np.ones(SHAPE, bool), table))
        for x in range(2):
            _, label = connected_components(table[x], directed=False)
            np.testing.assert_array_equal(linked[x], label[:, None] == label[None, :])


def test_both_limits_are_stationary_for_the_loss_and_hypo_s_for_the_penalty_across_components():
    outcomes = bl.preferences.outcome_law(ENV, jnp.asarray(PAIRS))
    linked = np.asarray(limits.components(ENV, SEEN, PAIRS)).astype(float)
    dpo = limits.dpo_flow_limit(ENV, REWARD, SEEN, pairs=PAIRS, beta=BETA)
    hypo = limits.hypo_small_penalty_limit(ENV, REWARD, SEEN, pairs=PAIRS, beta=BETA)
    for limit in (dpo, hypo):
        np.testing.assert_allclose(jax.grad(dpo_loss)(limit, ENV, outcomes, BETA), 0.0, atol=1e-15)
    across = np.einsum("xij,xj->xi", linked, jax.grad(mean_kl)(hypo, ENV))
    np.testing.assert_allclose(across, 0.0, atol=1e-15)
    np.testing.assert_allclose(limits.hypo_stationarity(ENV, hypo, SEEN, pairs=PAIRS), 0.0, atol=1e-14)
    assert np.abs(limits.hypo_stationarity(ENV, dpo, SEEN, pairs=PAIRS)).max() > 0.01


def test_the_stationarity_residual_is_the_gradient_summed_over_components():
    policy = jnp.asarray(random_policy(4, SHAPE))
    linked = np.asarray(limits.components(ENV, SEEN, PAIRS)).astype(float)
    summed = np.einsum("xij,xj->xi", linked, jax.grad(mean_kl)(policy, ENV))
    mass = np.einsum("xij,xj->xi", linked, np.exp(policy))
    residual = limits.hypo_stationarity(ENV, policy, SEEN, pairs=PAIRS)
    np.testing.assert_allclose(summed, np.asarray(ENV.context_probs)[:, None] * mass * residual, atol=1e-15)
    ratio = np.asarray(policy - ENV.log_reference)
    divergence = (np.exp(policy) * ratio).sum(axis=1)
    np.testing.assert_allclose(residual[0, 4:], ratio[0, 4:] - divergence[0], atol=1e-14)


def test_rewards_may_shift_by_component_and_what_is_unseen_is_not_read():
    shifted = REWARD + np.array([[3.0], [-2.0]])
    shifted[1, 3:5] += 7.0
    shifted[~SEEN] = 50.0
    for limit in (limits.dpo_flow_limit, limits.hypo_small_penalty_limit):
        first = limit(ENV, REWARD, SEEN, pairs=PAIRS)
        np.testing.assert_allclose(limit(ENV, shifted, SEEN, pairs=PAIRS), first, atol=1e-13)
        order = np.array([3, 5, 0, 1, 4, 2])
        env = ENV.replace(reward=REWARD[:, order], log_reference=np.asarray(ENV.log_reference)[:, order])
        moved = limit(env, REWARD[:, order], SEEN[:, order], pairs=PAIRS[:, order][:, :, order])
        np.testing.assert_allclose(moved, first[:, order], atol=1e-13)


def test_a_reward_model_that_imputes_the_right_value_is_dpo_or_hypo_or_optimal():
    env, reference = bandit(2, BETA), np.exp(np.asarray(ENV.log_reference))
    reward, reference = np.asarray(env.reward), np.exp(np.asarray(env.log_reference))
    weights = np.where(SEEN, reference * np.exp(reward / BETA), 0.0)
    means = {
        limits.dpo_flow_limit: np.where(SEEN, reward, 0.0).sum(1) / SEEN.sum(1),
        limits.hypo_small_penalty_limit: (weights * reward).sum(1) / weights.sum(1),
    }
    np.testing.assert_allclose(imputation.plain_mean(reward, SEEN)[:, 0], means[limits.dpo_flow_limit])
    tilted = imputation.tilted_mean(np.log(reference) + reward / BETA, reward, SEEN)[:, 0]
    np.testing.assert_allclose(tilted, means[limits.hypo_small_penalty_limit])
    for limit, mean in means.items():
        imputed = limits.rlhf_limit(env, reward, SEEN, mean[:, None])
        np.testing.assert_allclose(limit(env, reward, SEEN), imputed, atol=1e-14)
    np.testing.assert_allclose(limits.rlhf_limit(env, reward, SEEN, reward), env.log_target, atol=1e-14)


def test_an_imputed_value_costs_what_the_library_measures():
    logs, reward, seen = np.asarray(ENV.log_reference)[:1], REWARD[:1], SEEN[:1]
    env, tables = bl.instances.tabular(reward, logs, beta=BETA), (logs[0], reward[0], seen[0], BETA)
    truth = env.replace(reward=np.where(seen, reward, 0.8))
    for learner, limit in (("dpo", limits.dpo_flow_limit), ("hypo", limits.hypo_small_penalty_limit)):
        value = imputation.imputed_value(learner, *tables)
        measured = float(bl.metrics.gap(truth, limit(env, reward, seen)))
        assert imputation.gap(value, 0.8, *tables) == pytest.approx(measured, rel=1e-9)
    centred = reward[seen] - imputation.imputed_value("rlhf", *tables, bound=2.5)
    assert (centred / (2.5**2 - centred**2)).sum() == pytest.approx(0.0, abs=1e-6)
    truths, values = np.linspace(-1.0, 2.0, 4), (0.3, 0.7)
    gaps = [np.array([imputation.gap(value, x, *tables) for x in truths]) for value in values]
    cross = limits.equal_gap_reward(env, reward, seen, *values)[0]
    assert imputation.crossing(truths, *gaps) == pytest.approx(float(cross), rel=1e-12)


def test_gaps_cross_at_the_equal_gap_reward_and_below_it_the_smaller_value_wins():
    env, values = bandit(3, BETA), (-0.4, 0.9)
    reward = np.asarray(env.reward)
    policies = [limits.rlhf_limit(env, reward, SEEN, value) for value in values]
    crossing = limits.equal_gap_reward(env, reward, SEEN, *values)
    assert ((values[0] < crossing) & (crossing < values[1])).all()
    for shift, sign in ((0.0, 0), (-0.2, -1), (0.2, 1)):
        truth = env.replace(reward=np.where(SEEN, reward, crossing[:, None] + shift))
        for x in range(2):
            here = truth.replace(context_probs=np.eye(2)[x])
            difference = float(bl.metrics.gap(here, policies[0]) - bl.metrics.gap(here, policies[1]))
            assert abs(difference) < 1e-14 if sign == 0 else sign * difference > 1e-4


def test_the_unseen_mass_grows_by_the_stated_condition_never_from_a_uniform_reference_always_with_hypo():
    signs = set()
    for seed in range(20):
        env = bandit(seed, BETA)
        reward, reference = np.asarray(env.reward), np.exp(np.asarray(env.log_reference))
        unseen = np.where(SEEN, 0.0, reference).sum(1)
        mass = np.where(SEEN, 0.0, np.exp(limits.dpo_flow_limit(env, reward, SEEN))).sum(1)
        growth = np.asarray(limits.unseen_growth(env, reward, SEEN))
        np.testing.assert_allclose(mass, unseen / (unseen + (1 - unseen) * np.exp(growth)), rtol=1e-12)
        signs |= set(np.sign(growth).tolist())
        hypo = np.asarray(limits.hypo_small_penalty_limit(env, reward, SEEN) - env.log_reference)
        assert (hypo[~SEEN] > 0).all()
        even = env.replace(log_reference=np.full(SHAPE, -np.log(6.0)))
        assert (np.asarray(limits.unseen_growth(even, reward, SEEN)) > 0).all()
    assert signs == {-1.0, 1.0}


def test_contexts_without_labels_and_actions_without_mass_stay_where_they_are():
    reference = np.exp(np.asarray(ENV.log_reference))
    reference[1, 5] = 0.0
    with np.errstate(divide="ignore"):
        env = ENV.replace(log_reference=np.log(reference / reference.sum(axis=1, keepdims=True)))
    seen = SEEN & np.array([[False], [True]])
    for limit in _LIMITS:
        policy = np.asarray(limit(env, REWARD, seen))
        np.testing.assert_allclose(policy[0], env.log_reference[0], atol=1e-15)
        np.testing.assert_array_equal(np.isfinite(policy[1]), SEEN[1])
    growth = np.asarray(limits.unseen_growth(env, REWARD, seen))
    assert growth[0] == 0.0
    assert np.isfinite(growth[1])


def test_limits_can_be_traced():
    def both(reward, beta):
        tables = [limit(ENV, reward, jnp.asarray(SEEN), beta=beta) for limit in _LIMITS]
        return jnp.stack(tables)

    betas = jnp.asarray([0.5, 2.0])
    traced = jax.jit(jax.vmap(both, in_axes=(None, 0)))(jnp.asarray(REWARD), betas)
    for k, beta in enumerate(betas):
        np.testing.assert_allclose(traced[k], both(REWARD, float(beta)), atol=1e-14)


_LIMITS = (limits.dpo_flow_limit, limits.hypo_small_penalty_limit)


@pytest.mark.parametrize("limit", _LIMITS)
def test_bad_input_is_named(limit):
    for changes, message in (
        ({"seen": np.zeros(SHAPE, bool)}, "seen must hold an action in some context; got none"),
        ({"seen": SEEN[:1]}, r"seen must be \(2, 6\); got \(1, 6\)"),
        ({"seen": SEEN.astype(float)}, "seen must be boolean; got float64"),
        ({"beta": 0.0}, "beta must be positive and finite; got 0.0"),
        ({"pairs": PAIRS[0]}, r"pairs must be \(2, 6, 6\); got \(6, 6\)"),
        ({"reward": REWARD[0]}, r"reward must be \(2, 6\); got \(6,\)"),
        ({"pairs": -np.ones((2, 6, 6))}, "pairs must be non-negative; got -1.0"),
        (
            {"env": bl.instances.random_features(2, 6, 4)},
            "env must be tabular, with a parameter for every difference of actions; got rank 4",
        ),
    ):
        arguments = {"env": ENV, "reward": REWARD, "seen": SEEN} | changes
        with pytest.raises(ValueError, match=message):
            limit(**arguments)
    missing = scenarios.hard_missing().env
    with pytest.raises(
        ValueError, match=r"seen must lie in the support of the reference; got \(context, action\) \[0, 4\]"
    ):
        limit(missing, missing.reward, np.ones((1, 5), bool))


def test_a_crossing_needs_two_values_and_unseen_actions():
    with pytest.raises(ValueError, match="first and second must differ"):
        limits.equal_gap_reward(ENV, REWARD, SEEN, 1.0, 1.0)
    with pytest.raises(ValueError, match="seen must leave seen and unseen actions"):
        limits.equal_gap_reward(ENV, REWARD, np.ones(SHAPE, bool), 0.0, 1.0)


# One-sided labels


def slope(h, penalty, beta, log_odds):
    """The derivative of log(1 + e^{-beta h}) + penalty KL at logit gap h + log_odds, by autodiff."""

    def objective(gap):
        logs = [-jax.nn.softplus(sign * (gap + log_odds)) for sign in (-1, 1)]
        reference = [-jax.nn.softplus(sign * jnp.asarray(log_odds)) for sign in (-1, 1)]
        kl = sum(jnp.exp(a) * (a - b) for a, b in zip(logs, reference, strict=True))
        return jax.nn.softplus(-beta * gap) + penalty * kl

    return float(jax.grad(objective)(jnp.asarray(h)))


@pytest.mark.parametrize(("beta", "value"), [(0.1, 0.206), (0.3, 0.504), (0.5, 0.631), (0.9, 0.245)])
def test_the_critical_penalty_is_the_minimum_over_gaps(beta, value):
    """The values of docs/theory.md, section 7."""
    assert one_sided.critical_penalty(beta) == pytest.approx(value, abs=5e-4)
    for log_odds in (-2.0, 0.0, 2.0):

        def ratio(h, s=log_odds):
            return beta * expit(-beta * h) / (h * expit(h + s) * expit(-h - s))

        found = minimize_scalar(ratio, bounds=(1e-3, 60), method="bounded", options={"xatol": 1e-10})
        assert one_sided.critical_penalty(beta, log_odds) == pytest.approx(found.fun, rel=1e-10)


def test_the_slope_vanishes_at_both_gaps_and_changes_sign_there():
    for penalty, beta, log_odds in (
        (0.3, 0.1, 0.0),
        (0.7, 0.5, 0.0),
        (0.9, 0.3, -1.0),
        (0.05, 1.0, 1.5),
        (0.2, 3.0, 0.0),
    ):
        low = one_sided.stationary_gap(penalty, beta, log_odds)
        high = one_sided.escape_gap(penalty, beta, log_odds)
        assert slope(0.99 * low, penalty, beta, log_odds) < 0 < slope(1.01 * low, penalty, beta, log_odds)
        assert slope(low, penalty, beta, log_odds) == pytest.approx(0.0, abs=1e-14)
        assert np.isinf(high) == (beta >= 1)
        if beta < 1:
            assert low < high
            assert slope(0.99 * high, penalty, beta, log_odds) > 0 > slope(1.01 * high, penalty, beta, log_odds)


def test_descent_stops_above_the_critical_penalty_and_passes_below_it():
    beta = 0.5
    critical = one_sided.critical_penalty(beta)
    for factor in (1.05, 0.95):
        h = 0.0
        for _ in range(20_000):
            h += 0.5 * (beta * expit(-beta * h) - factor * critical * h * expit(h) * expit(-h))
        if factor > 1:
            assert h == pytest.approx(one_sided.stationary_gap(factor * critical, beta), rel=1e-10)
        else:
            assert h > 1.5 * one_sided.escape_gap(critical * 1.0001, beta)


def test_ends_of_the_range():
    assert one_sided.stationary_gap(0.0, 2.0) == np.inf
    assert one_sided.escape_gap(0.0, 2.0) == 0.0
    assert one_sided.stationary_gap(0.1, 0.5) == np.inf
    assert one_sided.escape_gap(0.1, 0.5) == 0.0
    assert one_sided.critical_penalty(1.0) == 0.0
    # D sigma(D) = 1/lambda.
    assert one_sided.stationary_gap(1e-3, 1.0) == pytest.approx(1e3, rel=1e-12)
    critical = one_sided.critical_penalty(0.999_999)
    assert one_sided.stationary_gap(critical * (1 + 1e-9), 0.999_999) < one_sided.escape_gap(
        critical * (1 + 1e-9), 0.999_999
    )
    for function, arguments, message in (
        (one_sided.critical_penalty, (0.0,), "beta must be positive and finite; got 0.0"),
        (one_sided.stationary_gap, (-0.1, 1.0), "penalty must be non-negative and finite; got -0.1"),
        (one_sided.escape_gap, (0.1, -1.0), "beta must be positive and finite; got -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            function(*arguments)


# The experiments' checks


def test_attainability_sees_adam_on_the_closed_form_and_any_learner_off_it():
    tables = committed("attainability")
    hypo, dpo = tables["hypo"], tables["dpo"]
    adam = dpo["optimizer"] == "adam"
    claims = failing("attainability", "dpo", log_ratio=np.where(adam, dpo["predicted"], dpo["log_ratio"]))
    assert claims
    assert all("Adam" in claim for claim in claims)
    moved = failing("attainability", "dpo", log_ratio=dpo["log_ratio"] + np.where(adam, 0.0, 1e-6))
    moved += failing("attainability", "datasets", log_ratio=tables["datasets"]["log_ratio"] + 1e-6)
    assert sum("DPO" in claim for claim in moved) == len(moved) > 3
    (claim,) = failing("attainability", "hypo", residual=np.full(len(hypo), 1e-6))
    assert "residual" in claim
    claims = failing("attainability", "hypo", slope=1.05 * hypo["slope"])
    assert len(claims) == len(np.unique(hypo["beta"]))


def test_who_wins_sees_a_winner_on_the_wrong_side_and_a_lane_that_failed():
    learners, trained, _ = committed("who_wins").values()
    swapped = np.where(learners["crossing"] > 0, -1.0, 1.0) * learners["crossing"]
    assert any("HyPO wins though" in claim for claim in failing("who_wins", "learners", crossing=swapped))
    failed = learners["failed"].copy()
    failed[0] = 1
    assert failing("who_wins", "learners", failed=failed) == ["policies that did not converge"]
    changed = np.where(trained["reward"] == -2.0, 1.05, 1.0) * trained["gap"]
    claims = failing("who_wins", "trained", gap=changed)
    assert sum("worst of the sweep" in claim for claim in claims) >= 4


def test_unseen_mass_sees_one_bandit_against_the_condition():
    dpo, hypo = committed("unseen_mass").values()
    flipped = dpo["growth"].copy()
    flipped[np.argmax(np.abs(flipped))] *= -1
    assert any("against" in claim for claim in failing("unseen_mass", "dpo", growth=flipped))
    grown = dpo["growth"].copy()
    grown[np.flatnonzero(dpo["reference"] == "uniform reference")[0]] = 1e-3
    assert any("reference uniform" in claim for claim in failing("unseen_mass", "dpo", growth=grown))
    least = hypo["least"].copy()
    least[3] = -1e-6
    (claim,) = failing("unseen_mass", "hypo", least=least)
    assert "HyPO" in claim


@pytest.mark.parametrize("level", [-600.0, -20.0, 0.0, 20.0, 600.0])
def test_the_equal_gap_reward_keeps_its_digits_where_the_masses_round_to_zero_or_one(level):
    with localcontext(prec=900):
        logits = [Decimal(value) - Decimal(level) for value in (0.25, 1.0)]
        masses = [1 / (1 + (-logit).exp()) for logit in logits]
        entropies = [-q * q.ln() - (1 - q) * (1 - q).ln() for q in masses]
        expected = (entropies[0] - entropies[1]) / (masses[1] - masses[0]) + Decimal(level)
    env = bl.instances.tabular([[0.0, 0.0]])
    found = bl.gradient_limits.equal_gap_reward(env, [[level, 0.0]], np.asarray([[True, False]]), 0.25, 1.0)
    # What is left of a value of size one after the offset, `level`, is added and taken away again.
    np.testing.assert_allclose(found, [float(expected)], rtol=0, atol=8 * np.finfo(float).eps * max(abs(level), 1.0))
