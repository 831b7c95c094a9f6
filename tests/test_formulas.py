"""Bounds that are loose by decades, held by their formulas recomputed; and equalities where they are met."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from random_environments import random_environment, random_policy
from scipy.optimize import brentq

import banditlab as bl
from banditlab import preferences
from banditlab.estimators import regression
from banditlab.theory import distillation, guarantees


def arrays(env):
    """phi (S, A, d), rho, pi*, and V* by loops over contexts."""
    phi, rho, policy = np.asarray(env.features), np.asarray(env.context_probs), np.exp(np.asarray(env.log_target))
    covariance = np.zeros((phi.shape[-1],) * 2)
    for x in range(len(rho)):
        centred = phi[x] - policy[x] @ phi[x]
        covariance += rho[x] * (centred.T * policy[x]) @ centred
    return phi, rho, policy, covariance


def guaranteed(env, n, num_rounds, factor, failure):
    """Proposition 12, as docs/theory.md states it, in plain NumPy."""
    phi, rho, policy, covariance = arrays(env)
    beta, theta = float(env.beta), np.asarray(env.target_params)
    differences = np.concatenate([(phi[x][:, None] - phi[x][None]).reshape(-1, phi.shape[-1]) for x in range(len(rho))])
    margins = beta * differences @ theta
    kappa = np.min(1 / (2 + np.exp(margins) + np.exp(-margins)))
    leverage = np.einsum("nd,de,ne->n", differences, np.linalg.inv(covariance), differences).max()
    information = np.zeros_like(covariance)
    for x in range(len(rho)):
        for i in range(phi.shape[1]):
            for j in range(phi.shape[1]):
                z = phi[x, i] - phi[x, j]
                h = beta * theta @ z
                weight = rho[x] * policy[x, i] * policy[x, j] / (2 + np.exp(h) + np.exp(-h))
                information += beta**2 * weight * np.outer(z, z)
    allowed = factor * np.trace(covariance @ np.linalg.inv(information)) / (2 * n)
    rank = phi.shape[-1]
    shift = np.asarray(env.start_params) - theta
    u = math.sqrt(leverage * shift @ covariance @ shift)

    def gam(chance):
        t = -math.log(chance)
        tau = min(rank / chance, (rank + 2 * math.sqrt(rank * t) + 2 * t) / (4 * kappa))
        return tau / (2 * beta**2 * kappa)

    def degenerate(u):
        bound = leverage * math.exp(u) / (8 * kappa)
        return rank * math.exp(-(0.5 - 0.5 * math.log(2)) * n / bound)

    lost = 0.0
    for _ in range(num_rounds - 1):
        if n < 8 * beta**2 * leverage * gam(failure) * math.exp(u):
            return 0.0
        lost += failure + degenerate(u)
        u = 2 * math.log(2) * math.sqrt(2 * leverage * gam(failure) / n) * math.exp(u / 2)

    def excess(log_chance):
        g = gam(math.exp(log_chance))
        if n < 8 * beta**2 * leverage * g * math.exp(u):
            return 1e300
        square = 2 * (2 * math.log(2)) ** 2 * g * math.exp(u) / n
        v = math.sqrt(leverage * square)
        return (math.exp(v) - 1 - v) / v**2 * square - allowed

    if excess(math.log1p(-1e-12)) > 0:
        return 0.0
    last = (
        math.exp(brentq(excess, math.log(1e-300), math.log1p(-1e-12), xtol=1e-12))
        if excess(math.log(1e-300)) > 0
        else 0.0
    )
    return max(0.0, 1 - lost - last - degenerate(u))


@pytest.mark.parametrize(
    ("env", "n", "factor"),
    [
        (bl.instances.chain(), 3e3, 30.0),
        (bl.instances.chain(start=-1.0, beta=0.5), 3e4, 60.0),
        (random_environment(3, (2, 3, 2), initial_params=[0.1, 0.2], target_params=[0.3, -0.4]), 3e5, 200.0),
    ],
    ids=["chain", "chain from afar", "random"],
)
def test_the_guarantee_is_its_formula(env, n, factor):
    for scale in (1.0, 1.2, 2.0, 10.0):
        for num_rounds in (1, 2, 4):
            wanted = guaranteed(env, scale * n, num_rounds, factor, 1e-3)
            found = guarantees.success_probability(env, scale * n, num_rounds, factor)
            assert found == pytest.approx(wanted, rel=1e-7, abs=1e-9)
    assert 0 < guaranteed(env, 10 * n, 3, factor, 1e-3) < 1
    # With a failure this likely the fewest labels are so few that the matrix Chernoff term is seen: n / L >= 32 tau.
    counts = np.unique(np.round(np.geomspace(10, 3e5, 200)))
    wanted = np.asarray([guaranteed(env, labels, 2, 100 * factor, 0.9) for labels in counts])
    first = int(np.argmax(wanted > 0))
    for place in range(first - 1, first + 4):
        found = guarantees.success_probability(env, counts[place], 2, 100 * factor, failure=0.9)
        assert found == pytest.approx(wanted[place], rel=1e-7, abs=1e-9)
    assert 0 == wanted[first - 1] < wanted[first] < 0.1 - 1e-5


def test_the_bias_bound_is_met_by_the_worst_linear_error():
    env, log_policy = random_environment(7), random_policy(7, (3, 4))
    phi, _, _, target = arrays(env)
    covariance = np.asarray(bl.policies.feature_covariance(env, log_policy))
    worst = scipy.linalg.eigh(target, covariance)[1][:, -1]
    error = 0.3 * phi @ worst
    teacher = np.asarray(env.reward) + error
    bound = float(distillation.bias_bound(env, teacher, log_policy))
    law = bl.policies.independent_pairs(env, log_policy, log_policy)
    moved = distillation.population_solution(env, teacher, law, np.asarray(env.start_params)) - np.asarray(
        env.target_params
    )
    assert moved @ target @ moved == pytest.approx(bound, rel=1e-9)


def test_least_squares_keeps_its_digits_with_features_of_condition_one_million():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(3, 5, 4)) * np.asarray([1.0, 1e-2, 1e-4, 1e-6])
    mixing = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    env = bl.Environment.create(features @ mixing, target_params=rng.normal(size=4))
    counts = np.triu(rng.integers(1, 9, (3, 5, 5)), 1) * 1.0
    params = rng.normal(size=4)
    gaps = float(env.beta) * (env.features @ params)
    target = gaps[:, :, None] - gaps[:, None, :]
    found = regression.least_squares(env, jnp.asarray(counts), jnp.asarray(target), jnp.zeros(4))
    # The data are off by eps; the condition number times that is what any method may lose.
    np.testing.assert_allclose(found.params, params, atol=1e-8)


def test_flips_of_a_labeller_that_drops_pairs_keep_them_dropped():
    table = np.zeros((1, 3, 3))
    table[0, 0, 1], table[0, 1, 0], table[0, 0, 2], table[0, 2, 0] = 0.3, 0.2, 0.9, 0.1
    env = bl.instances.tabular(np.zeros((1, 3)))
    kept = np.asarray(preferences.flipped(0.25, preferences.from_table(table))(env))
    np.testing.assert_allclose(kept + kept.swapaxes(1, 2), table + table.swapaxes(1, 2), atol=1e-15)
    assert kept[0, 0, 1] == pytest.approx(0.75 * 0.3 + 0.25 * 0.2, rel=1e-12)
