"""What algorithms carry into the second round: the ridge's centre, the start, the data, the optimiser's place."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from random_environments import random_environment

import banditlab as bl
from banditlab import algorithms, policy_gradients

ENV = random_environment(5, (2, 4, 3))
KEYS = jax.random.split(jax.random.key(9), 3)


def two_rounds(algorithm, env=ENV):
    """The states at the start and after each of two rounds."""
    algorithm = algorithm.prepare(env)
    states = [algorithm.init(KEYS[0], env)]
    for key in KEYS[1:]:
        states.append(algorithm.step(key, states[-1], env)[0])
    return states


def by_scipy(wins, ridge, center):
    """argmin of the sum of logistic losses of a win table + (ridge/2) |theta - center|^2, from the rows."""
    phi, beta = np.asarray(ENV.features), float(ENV.beta)
    x, i, j = np.nonzero(np.asarray(wins) * ~np.eye(4, dtype=bool))
    rows, counts = beta * (phi[x, i] - phi[x, j]), np.asarray(wins)[x, i, j]

    def value(theta):
        margins = rows @ theta
        slope = -rows.T @ (counts / (1 + np.exp(margins))) + ridge * (theta - center)
        return counts @ np.logaddexp(0, -margins) + 0.5 * ridge * np.sum((theta - center) ** 2), slope

    return scipy.optimize.minimize(value, center, jac=True, method="BFGS", options={"gtol": 1e-10}).x


@pytest.mark.parametrize("pooled", [False, True])
def test_the_ridge_of_a_round_pulls_to_the_parameters_of_the_one_before(pooled):
    start, first, second = two_rounds(algorithms.on_policy_dpo(60, ridge=8.0, pooled=pooled))
    np.testing.assert_allclose(first.params, by_scipy(first.wins, 8.0, np.asarray(start.params)), atol=1e-6)
    np.testing.assert_allclose(second.params, by_scipy(second.wins, 8.0, np.asarray(first.params)), atol=1e-6)
    assert np.abs(second.params - by_scipy(second.wins, 8.0, np.asarray(start.params))).max() > 1e-2
    assert second.wins.sum() == (120 if pooled else 60)


def test_a_second_round_without_an_informative_pair_stays_where_the_first_ended():
    def sampler(env, log_policy):
        informed = jnp.max(jnp.abs(log_policy - env.log_initial)) < 1e-9
        selves = jnp.eye(env.num_actions)[None] * (env.context_probs[:, None] * jnp.exp(log_policy))[:, :, None]
        return jnp.where(informed, bl.samplers.uniform(env, log_policy), selves)

    start, first, second = two_rounds(algorithms.dpo(sampler, 300))
    assert np.abs(first.params - start.params).max() > 0.1
    np.testing.assert_array_equal(second.params, first.params)


def test_the_sampled_ascent_of_rlhf_goes_on_from_where_the_last_round_ended():
    """One step a round, of a gradient from so many draws that its error is a percent of it."""
    algorithm = algorithms.rlhf(400, 2.0, policy="rloo", num_samples=40_000, num_steps=1, step_size=0.5)
    start, first, second = two_rounds(algorithm, random_environment(5, (2, 4, 3), initial_params=None))
    env = random_environment(5, (2, 4, 3), initial_params=None)
    for before, after in ((start, first), (first, second)):
        log_policy = env.log_policy(before.params)
        values = after.reward - env.beta * (log_policy - env.log_reference)
        slope = policy_gradients.exact(env, log_policy, values)
        wanted = before.params + 0.5 * jnp.einsum("xa,xad->d", slope, env.features)
        np.testing.assert_allclose(after.params, wanted, atol=0.02)
    assert np.abs(second.params - first.params).max() > 0.05


def descended(theta, wins, penalty, step_size, num_steps):
    """Gradient steps on the mean logistic loss of a win table + penalty E_x KL(pi_theta || pi_ref), by loops."""
    phi, beta, rho = np.asarray(ENV.features), float(ENV.beta), np.asarray(ENV.context_probs)
    reference, wins = np.asarray(ENV.log_reference), np.asarray(wins)
    for _ in range(num_steps):
        slope = np.zeros_like(theta)
        for x, i, j in np.argwhere(wins > 0):
            row = beta * (phi[x, i] - phi[x, j])
            slope -= wins[x, i, j] / wins.sum() * row / (1 + np.exp(row @ theta))
        for x in range(2):
            logits = reference[x] + phi[x] @ theta
            pi = np.exp(logits - np.logaddexp.reduce(logits))
            ratio = np.log(pi) - reference[x]
            slope += penalty * rho[x] * (pi * (ratio - pi @ ratio)) @ phi[x]
        theta = theta - step_size * slope
    return theta


def test_hypo_goes_on_from_where_the_last_round_ended_on_all_labels_so_far():
    """So few steps that neither the start nor the labels are forgotten."""
    start, first, second = two_rounds(algorithms.hypo(60, 0.5, num_steps=3, step_size=0.7))
    assert (first.wins.sum(), second.wins.sum()) == (60, 120)
    assert (np.asarray(second.wins) >= np.asarray(first.wins)).all()
    for before, after in ((start, first), (first, second)):
        wanted = descended(np.asarray(before.params), after.wins, 0.5, 0.7, 3)
        np.testing.assert_allclose(after.params, wanted, atol=1e-12)
    fresh = np.asarray(second.wins) - np.asarray(first.wins)
    for others in ((start.params, second.wins), (first.params, fresh)):
        assert np.abs(second.params - descended(np.asarray(others[0]), others[1], 0.5, 0.7, 3)).max() > 1e-2


def test_pooled_distillation_keeps_the_noise_of_the_pairs_that_it_keeps():
    """The noise of a cell is a sum over its pairs of both rounds, which here do not depend on it."""
    algorithm = algorithms.reward_distillation(20, noise=1.0, sampler=bl.samplers.uniform, pooled=True)

    def run(key):
        first, second = jax.random.split(key)
        state = algorithm.step(first, algorithm.init(KEYS[0], ENV), ENV)[0]
        return algorithm.step(second, state, ENV)[0]

    state = jax.vmap(run)(jax.random.split(jax.random.key(3), 10_000))
    counts, noise = np.asarray(state.counts), np.asarray(state.noise)
    assert (counts.sum(axis=(1, 2, 3)) <= 40).all()
    assert (noise[counts == 0] == 0).all()
    standard = noise[counts > 0] / np.sqrt(counts[counts > 0])
    # Given the counts these are independent standard normal numbers: their squares have mean 1 and variance 2.
    assert abs(np.mean(standard**2) - 1) < 4.5 * np.sqrt(2 / len(standard))


@pytest.mark.parametrize(
    ("algorithm", "memory"),
    [
        (algorithms.offline_dpo(10), 1.0),
        (algorithms.on_policy_dpo(10), 0.0),
        (algorithms.uniform_dpo(10), 1.0),
        (algorithms.hybrid_dpo(10, "paired"), 0.0),
        (algorithms.hybrid_dpo(10, "mixture"), 0.0),
        (algorithms.hybrid_dpo(10, "design"), 1.0),
        (algorithms.on_policy_dpo(10, pooled=0.5), 0.5),
        (algorithms.reward_distillation(10), 0.0),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_preset_keeps_the_labels_that_it_says(algorithm, memory):
    assert float(algorithm.settings["memory"]) == memory


def test_a_decrement_counts_the_ridge():
    wins = np.random.default_rng(1).integers(0, 9, (2, 4, 4)) * 1.0
    fit = bl.estimators.fit(ENV, wins, ridge=3.0, max_norm=0.05)  # the cap leaves a gradient
    phi, beta, theta = np.asarray(ENV.features), float(ENV.beta), np.asarray(fit.params)
    gradient, hessian = 3.0 * theta, 3.0 * np.eye(3)
    for x, i, j in np.ndindex(2, 4, 4):
        row = beta * (phi[x, i] - phi[x, j])
        chance = 1 / (1 + np.exp(-row @ theta))
        gradient -= wins[x, i, j] * (1 - chance) * row
        hessian += wins[x, i, j] * chance * (1 - chance) * np.outer(row, row)
    assert fit.decrement == pytest.approx(np.sqrt(gradient @ np.linalg.solve(hessian, gradient)), rel=1e-9)


def test_rounds_that_are_not_finite_are_counted():
    def broken(algorithm, key, state, env):
        state, info = algorithms.on_policy_dpo(10).step_fn(algorithm, key, state, env)
        return state, info._replace(status=jnp.int8(bl.Status.nonfinite))

    run = bl.simulate(
        dataclasses.replace(algorithms.on_policy_dpo(10, ridge=1.0), step_fn=broken), ENV, num_rounds=2, num_seeds=3
    )
    assert run.failures["nonfinite"] == 6
    assert run.failures["max_steps"] == 0
