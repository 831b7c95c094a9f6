"""Gradient estimators: their moments by enumeration, against closed forms that never see a sample."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tables
from random_environments import random_environment, random_policy
from scipy.special import log_softmax

from banditlab import policy_gradients
from banditlab.exact.score_estimators import ESTIMATORS, NAIVE, REINFORCE, RLOO, variances

POLICY = np.array([0.5, 0.2, 0.2, 0.1])
VALUES = np.array([0.3, -1.0, 2.0, 0.4])


def enumerated(policy, values, k):
    """Mean and variance of every estimator by NumPy loops over all samples, from their definitions."""
    scores = np.eye(len(policy)) - policy
    weights, made = [], {name: [] for name in ESTIMATORS}
    for sample in map(list, itertools.product(range(len(policy)), repeat=k)):
        weights.append(policy[sample].prod())
        others = [np.mean([values[y] for j, y in enumerate(sample) if j != i]) for i in range(k)]
        made[RLOO].append(np.mean([(values[y] - b) * scores[y] for y, b in zip(sample, others, strict=True)], 0))
        made[REINFORCE].append(np.mean([values[y] * scores[y] for y in sample], axis=0))
        made[NAIVE].append(scores[sample].mean(0))
    found = {}
    for name, estimates in made.items():
        mean = np.array(weights) @ np.array(estimates)
        found[name] = mean, np.array(weights) @ ((np.array(estimates) - mean) ** 2).sum(1)
    return found


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_closed_forms_are_the_enumerated_variances(k):
    closed = variances(POLICY, VALUES, k)
    for name, (mean, variance) in enumerated(POLICY, VALUES, k).items():
        assert closed[name] == pytest.approx(variance, rel=1e-12)
        exact = 0.0 if name == NAIVE else POLICY * (VALUES - POLICY @ VALUES)
        np.testing.assert_allclose(mean, exact, atol=1e-15)


def test_the_means_hold_in_every_context_at_once():
    """All A^k samples, two contexts of unlike probability: the exact gradient of E_x KL, and zero for the naive one."""
    env = random_environment(3, (2, 3, 2))
    log_policy = jnp.asarray(random_policy(6, (2, 3)))
    values = log_policy - env.log_reference
    samples = np.array(list(itertools.product(range(3), repeat=3)))
    weights = np.exp(np.asarray(log_policy))[:, samples].prod(-1)  # (S, samples)
    actions = jnp.asarray(np.stack([samples, samples], axis=1))

    def mean(estimate):
        return np.einsum("xn,nxa->xa", weights, np.asarray(jax.jit(jax.vmap(estimate))(actions)))

    target = np.asarray(policy_gradients.exact(env, log_policy, values))
    shifted = values + 7.0
    for estimate in (policy_gradients.rloo, policy_gradients.reinforce):
        np.testing.assert_allclose(mean(lambda own, f=estimate: f(env, log_policy, values, own)), target, atol=1e-15)
    np.testing.assert_allclose(mean(lambda own: policy_gradients.naive(env, log_policy, own)), 0.0, atol=1e-15)
    # A constant added to f changes no RLOO estimate.
    own = actions[5]
    plain, moved = (policy_gradients.rloo(env, log_policy, f, own) for f in (values, shifted))
    np.testing.assert_allclose(plain, moved, atol=1e-14)
    # The exact gradient is that of the divergence: a finite difference along a random direction, in NumPy.
    direction = np.random.default_rng(0).standard_normal((2, 3))
    ends = [log_softmax(np.asarray(log_policy) + sign * 1e-5 * direction, axis=1) for sign in (1, -1)]
    rho, reference = np.asarray(env.context_probs), np.asarray(env.log_reference)
    high, low = (rho @ (np.exp(end) * (end - reference)).sum(1) for end in ends)
    assert (high - low) / 2e-5 == pytest.approx(np.sum(target * direction), rel=1e-7)


@pytest.mark.parametrize("num_actions", [3, 5, 8])
def test_rloo_is_worse_for_any_values_of_mean_zero_at_the_uniform_policy(num_actions):
    """RLOO's variance over REINFORCE's = 1 + A/((A - 2)(k - 1)), whatever the values."""
    values = np.random.default_rng(num_actions).standard_normal(num_actions)
    values -= values.mean()
    uniform = np.full(num_actions, 1 / num_actions)
    for k in (2, 3, 10):
        closed = variances(uniform, values, k)
        expected = 1 + num_actions / ((num_actions - 2) * (k - 1))
        assert closed[RLOO] / closed[REINFORCE] == pytest.approx(expected, rel=1e-12)


def test_many_draws_reach_the_limit_and_an_offset_turns_the_order_round():
    many, limit = (variances(POLICY, VALUES, k) for k in (10**7, np.inf))
    for name in ESTIMATORS:
        assert 1e7 * many[name] == pytest.approx(limit[name], rel=1e-6)
    lifted = variances(POLICY, VALUES + 10.0, 4)
    assert lifted[RLOO] == pytest.approx(variances(POLICY, VALUES, 4)[RLOO], rel=1e-12)
    assert lifted[RLOO] < 0.1 * lifted[REINFORCE]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_five_percent_in_a_simulated_variance_or_a_biased_mean_is_caught(name):
    enumerated, simulated = (tables.committed("estimator_facts")[part] for part in ("enumerated", "simulated"))
    own = simulated["estimator"] == name
    changed = np.where(own, 1.05 * simulated["simulated"], simulated["simulated"])
    (claim,) = tables.failing("estimator_facts", "simulated", simulated=changed)
    assert claim.startswith(f"{name}: simulated variance")
    biased = np.where(enumerated["estimator"] == name, 0.05, enumerated["error"])
    (claim,) = tables.failing("estimator_facts", "enumerated", error=biased)
    assert claim.startswith(f"{name}: largest error")


def test_a_wrong_number_of_actions_in_the_slope_near_uniform_is_caught():
    near = tables.committed("estimator_facts")["near"]
    (claim,) = tables.failing(
        "estimator_facts", "near", predicted_slope=(8.9 - near["actions"]) / (near["actions"] - 2)
    )
    assert claim.startswith("near uniform: (ratio - 1)/(size/4)")
    (claim,) = tables.failing("estimator_facts", "near", predicted_gap=1.001 * near["predicted_gap"])
    assert claim.startswith("near uniform: k (REINFORCE's - RLOO's variance)")
    swapped = np.where(near["actions"] == 10, 2 - near["limit"], near["limit"])
    (claim,) = tables.failing("estimator_facts", "near", limit=swapped)
    assert "largest ratio" in claim


def test_rloo_is_worse_or_better_next_to_uniform_by_the_number_of_actions_whatever_the_direction():
    rng = np.random.default_rng(3)
    for actions in (4, 8, 10, 20):
        for _ in range(20):
            logits = 0.01 * rng.standard_normal(actions)
            policy = np.exp(logits) / np.exp(logits).sum()
            found = variances(policy, np.log(actions * policy), np.inf)
            assert (found[RLOO] < found[REINFORCE]) == (actions > 9)
