"""Coverage coefficients and predictions (docs/theory.md, sections 3 and 4) by brute force, limits and invariances."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from random_environments import random_environment, random_pair_law, random_policy

import banditlab as bl
from banditlab import coverage, policies, theory

SEEDS = range(5)
EXACT = {"rtol": 1e-10, "atol": 1e-12}

# Identified by 3 of 4 actions, so that an action may lose its mass.
SHAPE = (3, 4, 3)


def covariance(env, policy):
    """E_x Cov_{y ~ pi} phi from its definition, (d, d)."""
    total = 0.0
    for rho, phi, pi in zip(env.context_probs, np.asarray(env.features), np.asarray(policy), strict=True):
        total = total + rho * np.cov(phi.T, aweights=pi, bias=True)
    return np.asarray(total)


def differences(env):
    phi = np.asarray(env.features)
    return [
        phi[x, i] - phi[x, j]
        for x in range(env.num_contexts)
        if env.context_probs[x] > 0
        for i, j in itertools.permutations(range(env.num_actions), 2)
    ]


@jax.jit
def coefficients(env, log_policy, pair_law):
    """Every coefficient of a policy (S, A) and of a pair law (S, A, A), in one program."""
    return {
        "operator": coverage.operator(env, log_policy),
        "trace": coverage.trace(env, log_policy),
        "density_ratio": coverage.density_ratio(env, log_policy),
        "global": coverage.kl_ball(env, jnp.inf),
        "leverage": theory.leverage(env, pair_law),
        "target_leverage": theory.target_leverage(env),
        "fisher_information": theory.fisher_information(env, pair_law),
        "label_price": theory.label_price(env, pair_law),
        "predicted_kl": theory.predicted_kl(env, pair_law, 250.0),
        "labels_needed": theory.labels_needed(env, pair_law, 0.01),
        "offline_price": theory.label_price(env, bl.samplers.initial(env, log_policy)),
        "statistical_radius": theory.statistical_radius(env),
    } | bl.metrics.measure(env, log_policy)


kl_ball = jax.jit(coverage.kl_ball)
lower_bound = jax.jit(theory.offline_lower_bound, static_argnames="radius")
threshold = jax.jit(theory.batch_threshold)
recursion = jax.jit(theory.recursion, static_argnames="num_rounds")

PAIR_LAW = random_pair_law(0, SHAPE[:2])


@pytest.mark.parametrize("seed", SEEDS)
def test_operator_and_trace_are_generalised_eigenvalues(seed):
    env = random_environment(seed)
    log_policy = random_policy(seed, SHAPE[:2])
    found = coefficients(env, log_policy, PAIR_LAW)
    target = np.exp(env.log_target)
    ratios = scipy.linalg.eigh(covariance(env, target), covariance(env, np.exp(log_policy)), eigvals_only=True)
    np.testing.assert_allclose(found["operator"], ratios[-1], **EXACT)
    np.testing.assert_allclose(found["trace"], ratios.sum(), **EXACT)
    density = (target / np.exp(log_policy)).max()
    np.testing.assert_allclose(found["density_ratio"], density, **EXACT)
    assert ratios[-1] <= density * (1 + 1e-12)
    assert ratios.sum() <= SHAPE[2] * ratios[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_at_the_target_the_trace_is_the_rank_and_the_others_are_one(seed):
    env = random_environment(seed)
    found = coefficients(env, env.log_target, PAIR_LAW)
    np.testing.assert_allclose(found["trace"], SHAPE[2], **EXACT)
    np.testing.assert_allclose([found["operator"], found["density_ratio"]], 1.0, **EXACT)


def test_tabular_trace_at_the_target_counts_the_free_directions():
    env = bl.instances.tabular(np.random.default_rng(0).normal(size=(3, 4)))
    assert env.rank == 3 * (4 - 1)
    np.testing.assert_allclose(coverage.trace(env, env.log_target), env.rank, **EXACT)


def test_a_direction_that_the_policy_misses_is_infinite_and_one_that_nobody_needs_is_not():
    env = bl.instances.staircase(3, start=1.0)
    stuck = jnp.log(jnp.asarray([[0.5, 0.5, 0.0, 0.0]]))
    for coefficient in (coverage.operator, coverage.trace, coverage.density_ratio):
        assert coefficient(env, stuck) == jnp.inf
    # Hard-missing actions of a tabular class: pi* has no mass there either, so V* needs no direction to them.
    partial = bl.instances.partial_coverage(4, 1.0)
    assert partial.rank == 3
    np.testing.assert_allclose(coverage.trace(partial, partial.log_target), 1.0, **EXACT)
    assert coverage.operator(partial, jnp.log(jnp.asarray([[1.0, 0.0, 0.0, 0.0]]))) == jnp.inf
    assert coverage.leverage(partial, policies.feature_covariance(partial, partial.log_reference)) == jnp.inf


def test_a_missed_direction_is_infinite_however_unevenly_the_others_are_seen():
    # Four actions in three dimensions, the last never played, the others with masses over twelve decades.
    rng = np.random.default_rng(0)
    features = rng.integers(-9, 10, (2000, 1, 4, 3)) * 1.0
    features[:, :, 0] = 0.0
    features = features[abs(np.linalg.det(features[:, 0, 1:])) > 0.5]
    masses = 10.0 ** rng.uniform(-12, -1, (len(features), 1, 2))
    policy = np.concatenate([1 - masses.sum(-1, keepdims=True), masses, 0 * masses[..., :1]], axis=-1)
    env = bl.Environment.create(features[0], target_params=np.zeros(3))

    def blind(phi, pi):
        moved, log_policy = env.replace(features=phi), jnp.log(pi)
        pair_law = bl.samplers.on_policy(moved, log_policy)
        return (
            coverage.operator(moved, log_policy),
            coverage.trace(moved, log_policy),
            theory.label_price(moved, pair_law),
            theory.leverage(moved, pair_law),
        )

    for values in jax.jit(jax.vmap(blind))(jnp.asarray(features), jnp.asarray(policy)):
        assert np.all(np.isposinf(values))


@pytest.mark.parametrize("seed", SEEDS)
def test_leverages_are_the_largest_over_all_listed_differences(seed):
    env = random_environment(seed)
    pair_law = random_pair_law(seed, SHAPE[:2])
    moment = sum(
        pair_law[x, i, j] * np.outer(z, z)
        for x in range(SHAPE[0])
        for i, j in itertools.product(range(SHAPE[1]), repeat=2)
        for z in [np.asarray(env.features[x, i] - env.features[x, j])]
    )
    largest = max(z @ np.linalg.solve(moment, z) for z in differences(env))
    found = coefficients(env, env.log_target, pair_law)
    np.testing.assert_allclose(found["leverage"], largest, rtol=1e-10)
    target = covariance(env, np.exp(env.log_target))
    largest = max(z @ np.linalg.solve(target, z) for z in differences(env))
    np.testing.assert_allclose(found["target_leverage"], largest, rtol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_label_price_and_predictions_by_brute_force(seed):
    env = random_environment(seed)
    pair_law = random_pair_law(seed, SHAPE[:2])
    reward, phi = np.asarray(env.reward), np.asarray(env.features)
    information = np.zeros((3, 3))
    for x in range(SHAPE[0]):
        for i, j in itertools.product(range(SHAPE[1]), repeat=2):
            slope = scipy.special.expit(reward[x, i] - reward[x, j]) * scipy.special.expit(reward[x, j] - reward[x, i])
            information += pair_law[x, i, j] * slope * np.outer(phi[x, i] - phi[x, j], phi[x, i] - phi[x, j])
    information *= float(env.beta) ** 2
    found = coefficients(env, env.log_target, pair_law)
    np.testing.assert_allclose(found["fisher_information"], information, **EXACT)
    price = np.trace(np.linalg.solve(information, covariance(env, np.exp(env.log_target))))
    np.testing.assert_allclose(found["label_price"], price, rtol=1e-10)
    np.testing.assert_allclose(found["predicted_kl"], price / 500, rtol=1e-10)
    np.testing.assert_allclose(found["labels_needed"], price / 0.02, rtol=1e-10)
    np.testing.assert_allclose(theory.predicted_kl_pooled(env, 250 * information), price / 500, rtol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_offline_lower_bound_is_its_formula_and_never_above_the_attained_risk(seed):
    env = random_environment(seed)
    num_pairs, radius = 400.0, 0.7
    ratios = scipy.linalg.eigh(
        covariance(env, np.exp(env.log_target)), covariance(env, np.exp(env.log_initial)), eigvals_only=True
    )
    bound = (1 / (num_pairs * float(env.beta) ** 2 / (2 * ratios) + np.pi**2 / radius**2)).sum()
    np.testing.assert_allclose(lower_bound(env, num_pairs, radius=radius), bound, rtol=1e-10)
    # Without labels: the prior's variance of about radius^2 / pi^2 a direction. With very many: at most the local
    # minimax constant C_F / N (the bound gave sigma' <= 1/4 away).
    np.testing.assert_allclose(lower_bound(env, 1e-12, radius=radius), 3 * radius**2 / np.pi**2, rtol=1e-9)
    price = coefficients(env, env.log_target, PAIR_LAW)["offline_price"]
    assert lower_bound(env, 1e12, radius=1e6) * 1e12 <= price * (1 + 1e-9)


def test_offline_lower_bound_counts_a_never_shown_direction_in_full_and_a_never_needed_one_not_at_all():
    staircase = bl.instances.staircase(3)
    blind = staircase.replace(initial_params=[-800.0, 0.0, 0.0])  # only the ground floor is ever shown
    np.testing.assert_allclose(lower_bound(blind, 1e30, radius=2.0), 3 * 4.0 / np.pi**2, rtol=1e-12)
    sure = staircase.replace(target_params=[1e6, -1e6, 0.0])  # V* underflows to zero
    assert 0 <= lower_bound(sure, 100.0, radius=2.0) <= 3 * 4.0 / np.pi**2


def test_batch_threshold_is_least_at_the_smallest_start_and_is_where_the_recursion_turns():
    env = random_environment(0)
    found = coefficients(env, env.log_target, PAIR_LAW)
    scale = float(found["target_leverage"] * found["statistical_radius"])
    starts = np.array([0.0, 1.0, 2.0, 2.5, 4.0])
    thresholds = [float(threshold(env, v)) for v in starts]
    np.testing.assert_allclose(thresholds[:3], scale * np.e**2 / 4, rtol=1e-12)
    assert thresholds[2] < thresholds[3] < thresholds[4]
    assert scale * np.exp(1.9) / 1.9**2 > thresholds[2]  # e^v / v^2 has its minimum at v = 2
    for start, least in zip(starts[2:], thresholds[2:], strict=True):
        above = recursion(env, start, 1.02 * least, num_rounds=400)
        below = recursion(env, start, 0.98 * least, num_rounds=400)
        assert np.all(np.diff(above)[:20] < 0), "above it rounds improve"
        assert above[-1] < 2.0, "down to the lower fixed point"
        assert np.all(np.diff(below) >= 0), "below it none does"
        assert below[-1] > 100.0, "and the bound becomes empty"


@pytest.mark.parametrize("radius", [1e-6, 1e-3, 0.1, 1.0])
def test_kl_ball_is_the_root_of_the_binary_divergence(radius):
    env = random_environment(4)
    p = np.exp(env.log_reference)
    budget = np.broadcast_to(radius / np.asarray(env.context_probs)[:, None], p.shape)
    worst = 1.0
    for prob, limit in zip(p.flat, budget.flat, strict=True):
        if limit >= -np.log(prob):
            worst = max(worst, 1 / prob)
            continue

        def excess(q, prob=prob, limit=limit):
            return scipy.special.rel_entr(q, prob) + scipy.special.rel_entr(1 - q, 1 - prob) - limit

        worst = max(worst, scipy.optimize.brentq(excess, prob, 1.0, xtol=1e-15) / prob)
    # A root q of kl(q || p) = e is conditioned like 1e-16 / sqrt(e).
    np.testing.assert_allclose(kl_ball(env, radius), worst, rtol=1e-12)


def test_kl_ball_starts_at_one_grows_and_ends_at_the_global_coefficient():
    env = random_environment(4)
    radii = [0.0, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 10.0, np.inf]
    values = np.array([kl_ball(env, radius) for radius in radii])
    # Below 1e-15 kl(q || p) is rounding: q - p of order sqrt(1e-16).
    np.testing.assert_allclose(values[0], 1.0, atol=1e-7)
    assert np.all(np.diff(values) >= 0)
    np.testing.assert_allclose(values[-1], 1 / np.exp(env.log_reference).min(), rtol=1e-12)
    missing = bl.instances.partial_coverage(4, 1.0)
    assert kl_ball(missing, np.inf) == np.inf
    np.testing.assert_allclose(kl_ball(missing, 100.0), 2.0, rtol=1e-12)


def assert_same(after, before, but=()):
    for name, value in before.items():
        if name not in but:
            np.testing.assert_allclose(after[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.permutations(range(3)), st.permutations(range(4)))
def test_invariant_to_the_order_of_contexts_and_actions(seed, contexts, actions):
    env = random_environment(seed)
    log_policy, pair_law = random_policy(seed, SHAPE[:2]), random_pair_law(seed, SHAPE[:2])
    moved = env.replace(
        features=np.asarray(env.features)[contexts][:, actions],
        log_reference=np.asarray(env.log_reference)[contexts][:, actions],
        log_base=np.asarray(env.log_base)[contexts][:, actions],
        context_probs=np.asarray(env.context_probs)[contexts],
    )
    before = coefficients(env, log_policy, pair_law)
    after = coefficients(moved, log_policy[contexts][:, actions], pair_law[contexts][:, actions][:, :, actions])
    assert_same(after, before)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(-50, 50))
def test_invariant_to_what_is_common_to_all_actions_of_a_context_and_to_the_choice_of_coordinates(seed, size):
    env = random_environment(seed)
    rng = np.random.default_rng(seed + 1)
    log_policy, pair_law = random_policy(seed, SHAPE[:2]), random_pair_law(seed, SHAPE[:2])
    before = coefficients(env, log_policy, pair_law)
    shift = size * rng.normal(size=(3, 1, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.1, 10, 3)
    inverse = np.linalg.inv(rotation)
    translated = env.replace(features=np.asarray(env.features) + shift)
    turned = env.replace(
        features=np.asarray(env.features) @ rotation,
        target_params=inverse @ env.target_params,
        initial_params=inverse @ env.initial_params,
    )
    # Rounding 1e-16 times the squared ratio of the shift to the features, and the condition of V. The reward and
    # the information are in the old coordinates: they alone may move.
    assert_same(coefficients(translated, log_policy, pair_law), before, but=("expected_reward",))
    assert_same(coefficients(turned, log_policy, pair_law), before, but=("fisher_information",))
    plain = env.replace(reward=np.asarray(env.reward))
    lifted = env.replace(reward=np.asarray(env.reward) + size * rng.normal(size=(3, 1)))
    before = coefficients(plain, log_policy, pair_law)
    assert_same(coefficients(lifted, log_policy, pair_law), before, but=("expected_reward",))
