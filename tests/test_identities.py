"""The identities of docs/theory.md, section 2, and Propositions 1, 2 and 7, against sums written out in NumPy.

I6, a limit law, is held by test_exact_chain.py.
"""

import decimal
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from random_environments import random_environment, random_policy, random_wins

import banditlab as bl
from banditlab import policies
from banditlab.estimators import objective
from banditlab.numerics import tolerances

SEEDS = range(8)


def rounding(double, roundings=64):
    """A tolerance that is wide enough in float64, and as many roundings as may add up in float32."""
    return tolerances.at_least(double, jnp.result_type(float), roundings)


# Sums of at most 100 terms of order one, each rounded to 1e-16: 1e-12 leaves room for the condition of V.
EXACT = {"rtol": rounding(1e-10, 500), "atol": rounding(1e-12, 100)}
SIGN = -rounding(1e-13)  # of an eigenvalue that theory has non-negative


def all_pairs(env):
    """(x, y, y', z) for every ordered pair of actions."""
    phi = np.asarray(env.features)
    for x in range(env.num_contexts):
        for y, other in itertools.product(range(env.num_actions), repeat=2):
            yield x, y, other, phi[x, y] - phi[x, other]


def mean_outer(env, pair_law):
    return sum(pair_law[x, y, other] * np.outer(z, z) for x, y, other, z in all_pairs(env))


def case(seed):
    """An environment and parameters at a distance of 1e-3 to 3 of its target."""
    env = random_environment(seed)
    rng = np.random.default_rng(1000 + seed)
    return env, np.asarray(env.target_params) + rng.normal(scale=10.0 ** rng.uniform(-3, 0.5), size=3)


@jax.jit
def quantities(env, params, other_policy):
    """Everything the identities speak of at pi = pi_theta, in one program."""
    log_policy = env.log_policy(params)
    pair_law = bl.samplers.on_policy(env, log_policy)
    mixed = policies.independent_pairs(env, log_policy, other_policy)
    return {
        "log_policy": log_policy,
        "pair_law": pair_law,
        "outcomes": bl.preferences.outcome_law(env, pair_law),
        "covariance": policies.feature_covariance(env, log_policy),
        "other_covariance": policies.feature_covariance(env, other_policy),
        "target_covariance": bl.coverage.target_covariance(env),
        "mean_difference": policies.mean_features(env, log_policy) - policies.mean_features(env, other_policy),
        "second_moment": bl.theory.second_moment(env, pair_law),
        "mixed_moment": bl.theory.second_moment(env, mixed),
        "information": bl.theory.fisher_information(env, pair_law),
        "kappa": bl.theory.smallest_label_variance(env),
        "kl_target": bl.metrics.kl_target(env, log_policy),
        "osc": bl.theory.oscillation(env, params),
        "bounds": bl.theory.kl_bounds(env, params),
        "operator": bl.coverage.operator(env, log_policy),
        "target_leverage": bl.theory.target_leverage(env),
    }


def at(env, params, seed=0):
    found = quantities(env, params, random_policy(seed, (env.num_contexts, env.num_actions)))
    return jax.tree.map(np.asarray, found)


gap = jax.jit(bl.metrics.gap)


@pytest.mark.parametrize("seed", SEEDS)
def test_i1_pairs_from_a_policy_have_twice_its_feature_covariance(seed):
    env, params = case(seed)
    found = at(env, params)
    np.testing.assert_allclose(found["pair_law"].sum(), 1.0, **EXACT)
    moment = mean_outer(env, found["pair_law"])
    np.testing.assert_allclose(2 * found["covariance"], moment, **EXACT)
    np.testing.assert_allclose(found["second_moment"], moment, **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_i2_the_divergence_is_the_bregman_divergence_of_the_log_partition_function(seed):
    env, params = case(seed)

    def log_partition(theta):
        logits = np.asarray(env.log_reference) + np.asarray(env.features) @ np.asarray(theta)
        return float(np.asarray(env.context_probs) @ scipy.special.logsumexp(logits, axis=1))

    slope = np.einsum("x,xa,xad->d", env.context_probs, np.exp(env.log_target), env.features)
    target = np.asarray(env.target_params)
    bregman = log_partition(params) - log_partition(target) - slope @ (np.asarray(params) - target)
    # The right-hand side cancels terms of order one.
    np.testing.assert_allclose(at(env, params)["kl_target"], bregman, rtol=rounding(1e-10, 500), atol=rounding(1e-14))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("realizable", [True, False])
def test_i3_the_gap_is_beta_times_the_divergence_to_the_target_for_every_policy(seed, realizable):
    env, _ = case(seed)
    if not realizable:
        env = env.replace(reward=np.random.default_rng(seed).normal(size=(env.num_contexts, env.num_actions)))
    policy = np.exp(random_policy(seed, (env.num_contexts, env.num_actions)))
    policy[0] = np.eye(env.num_actions)[1]  # deterministic somewhere: 0 log 0 = 0

    def objective_value(pi):
        relative_entropy = scipy.special.rel_entr(pi, np.exp(env.log_reference)).sum(1)
        return np.asarray(env.context_probs) @ ((pi * np.asarray(env.reward)).sum(1) - env.beta * relative_entropy)

    expected = objective_value(np.exp(env.log_target)) - objective_value(policy)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(gap(env, np.log(policy)), expected, **EXACT)


@jax.jit
def expected_derivatives(env, outcomes):
    """Hessian and gradient at theta* of the expected loss of one label, by automatic differentiation."""

    def population_loss(theta):
        reward = env.beta * jnp.einsum("xad,d->xa", env.features, theta)
        return -jnp.sum(outcomes * jax.nn.log_sigmoid(reward[:, :, None] - reward[:, None, :]))

    return jax.hessian(population_loss)(env.target_params), jax.grad(population_loss)(env.target_params)


@pytest.mark.parametrize("seed", SEEDS)
def test_i4_fisher_information_is_the_expected_curvature_and_lies_between_its_bounds(seed):
    env, params = case(seed)
    found = at(env, params)
    curvature, slope = expected_derivatives(env, found["outcomes"])
    np.testing.assert_allclose(found["information"], curvature, **EXACT)
    np.testing.assert_allclose(slope, 0.0, atol=rounding(1e-14, 8))
    beta = float(env.beta)
    lower = 2 * beta**2 * found["kappa"] * found["covariance"]
    upper = 0.5 * beta**2 * found["covariance"]
    assert np.linalg.eigvalsh(found["information"] - lower)[0] >= SIGN
    assert np.linalg.eigvalsh(upper - found["information"])[0] >= SIGN


@pytest.mark.parametrize(("pairs", "rank"), [([(0, 1), (1, 2), (2, 3), (0, 3), (1, 3)], 3), ([(0, 1), (1, 2)] * 3, 2)])
def test_i5_squared_score_is_rank_over_n_exactly_over_all_labels_of_fixed_pairs(pairs, rank):
    env = random_environment(3, (1, 4, 3), beta=1.3)
    num_pairs = len(pairs)
    labels = np.array(list(itertools.product([0, 1], repeat=num_pairs)))
    wins = np.zeros((len(labels), 1, 4, 4))
    for column, (first, second) in enumerate(pairs):
        np.add.at(wins[:, 0, first, second], labels[:, column] == 1, 1.0)
        np.add.at(wins[:, 0, second, first], labels[:, column] == 0, 1.0)
    reward = np.asarray(env.reward)[0]
    win_probs = scipy.special.expit([reward[i] - reward[j] for i, j in pairs])
    weights = np.where(labels == 1, win_probs, 1 - win_probs).prod(1)

    def score(counts):
        built = objective.build(env, counts, None)
        return built.derivatives(bl.losses.dpo, built.margins(env.target_params))

    scores, hessians = map(np.asarray, jax.jit(jax.vmap(score))(wins))
    hessian = hessians[0]
    np.testing.assert_allclose(hessians, np.broadcast_to(hessian, hessians.shape), **EXACT)  # no label in it
    # The mean loss: gradient / n, Hessian / n; so the form is score' H^{-1} score / n.
    squared = np.einsum("kr,rs,ks->k", scores, np.linalg.pinv(hessian, rcond=rounding(1e-10)), scores) / num_pairs
    np.testing.assert_allclose(weights @ squared, rank / num_pairs, rtol=rounding(1e-10, 500))


def explicit_loss(env, wins, loss, target):
    """The sum of losses over ordered outcomes, from the definition of the margin by policies."""

    def total(params):
        log_ratio = env.log_policy(params) - env.log_reference
        margins = env.beta * (log_ratio[:, :, None] - log_ratio[:, None, :])
        values = loss(margins) if target is None else loss(margins, target)
        return jnp.sum(jnp.where(jnp.eye(env.num_actions, dtype=bool)[None], 0.0, wins * values))

    return total


@pytest.mark.parametrize("form", [objective.PairForm, objective.LaplacianForm])
@pytest.mark.parametrize("name", ["dpo", "ipo", "distillation"])
@pytest.mark.parametrize("free", [False, True])
def test_i7_laplacian_gradient_and_hessian_equal_autodiff_of_the_explicit_sum(form, name, free, monkeypatch):
    monkeypatch.setattr(objective, "PAIR_FORM_LIMIT", 0 if form is objective.LaplacianForm else 10**9)
    env = random_environment(5, (2, 3, 2), **({"log_base": np.zeros((2, 3))} if free else {}))
    wins = jnp.asarray(random_wins(5, (2, 3)))
    loss = getattr(bl.losses, name)
    rng = np.random.default_rng(0)
    target = {
        "dpo": None,
        "ipo": jnp.full((2, 3, 3), 0.4),
        "distillation": jnp.asarray(rng.normal(size=(2, 3, 3))),  # not even antisymmetric: noise per outcome
    }[name]
    total = explicit_loss(env, wins, loss, target)

    @jax.jit
    def both_ways(params):
        built = objective.build(env, wins, target)
        assert isinstance(built, form)
        ours = built.derivatives(loss, built.margins(params))
        return ours, (jax.grad(total)(params), jax.hessian(total)(params))

    ours, automatic = both_ways(rng.normal(size=2))
    for mine, reference in zip(ours, automatic, strict=True):
        np.testing.assert_allclose(mine, reference, **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_1_coverage_is_log_lipschitz_in_the_parameters(seed):
    env, params = case(seed)
    found = at(env, params)
    covariance, target = found["covariance"], found["target_covariance"]
    shift = params - np.asarray(env.target_params)
    osc = found["osc"]
    np.testing.assert_allclose(osc, max(abs(z @ shift) for *_, z in all_pairs(env)), **EXACT)
    assert np.linalg.eigvalsh(covariance - np.exp(-osc) * target)[0] >= SIGN
    assert np.linalg.eigvalsh(np.exp(osc) * target - covariance)[0] >= SIGN * np.exp(osc)
    bound = np.sqrt(found["target_leverage"] * (shift @ target @ shift))
    assert abs(np.log(found["operator"])) <= osc * (1 + rounding(1e-10)) <= bound * (1 + rounding(1e-9, 200))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scale", [1.0, float(jnp.finfo(jnp.result_type(float)).eps) ** (1 / 3)])
def test_proposition_2_brackets_the_divergence(seed, scale):
    env, params = case(seed)
    params = np.asarray(env.target_params) + scale * (params - np.asarray(env.target_params))
    found = at(env, params)
    (lower, upper), divergence, osc = found["bounds"], found["kl_target"], float(found["osc"])
    shift = params - np.asarray(env.target_params)
    square = shift @ found["target_covariance"] @ shift
    # Parameters of order one are rounded to 4e-16, relative to their distance osc; it enters squared.
    slack = rounding(1e-12) + rounding(4e-15, 36) / osc
    if scale == 1.0:
        near = {"rtol": rounding(1e-8, 500) + slack}
        np.testing.assert_allclose(lower, (np.exp(-osc) - 1 + osc) / osc**2 * square, **near)
        np.testing.assert_allclose(upper, (np.exp(osc) - 1 - osc) / osc**2 * square, **near)
    assert lower * (1 - slack) <= divergence <= upper * (1 + slack)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_7_pairing_two_policies_dominates_the_sum_of_their_covariances(seed):
    env, params = case(seed)
    found = at(env, params, seed)
    covariances = found["covariance"] + found["other_covariance"]
    difference = found["mean_difference"]
    between = np.einsum("x,xr,xs->rs", env.context_probs, difference, difference)
    np.testing.assert_allclose(found["mixed_moment"], covariances + between, **EXACT)
    assert np.linalg.eigvalsh(found["mixed_moment"] - covariances)[0] >= SIGN


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-6, 1e-9])
def test_a_tiny_divergence_keeps_its_digits(size):
    env = random_environment(2, (1, 4, 3))
    direction = np.array([1.0, -2.0, 0.5])
    log_p = np.asarray(env.log_target)
    log_q = np.asarray(env.log_policy(env.target_params + size * direction))
    with decimal.localcontext(decimal.Context(prec=60)):
        # Exact divergence of the two tables, each normalised in 60 digits.
        p, q = ([decimal.Decimal(float(v)).exp() for v in table[0]] for table in (log_p, log_q))
        total_p, total_q = sum(p), sum(q)
        exact = sum(a / total_p * ((a / total_p).ln() - (b / total_q).ln()) for a, b in zip(p, q, strict=True))
    # t = log q - log p of order `size` carries an absolute rounding of 1e-16 and enters squared; the first-order
    # term of the tables' own normalisation error, 1e-16 each, is removed by construction up to a square.
    np.testing.assert_allclose(
        bl.metrics.kl_target(env, jnp.asarray(log_q)), float(exact), rtol=rounding(1e-14) + rounding(4e-15, 18) / size
    )
