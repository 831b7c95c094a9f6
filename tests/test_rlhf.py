"""The bounded reward fit, RLHF with an exact and a sampled policy, IPO and chi-PO."""

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from random_environments import random_environment, random_wins
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

import banditlab as bl
from banditlab.algorithms.offline import chi_po, ipo
from banditlab.algorithms.rlhf import _ascend, best_policy, rlhf
from banditlab.estimators import Existence, Status, bounded

# One context, five actions, the last never compared.
TABULAR = bl.instances.tabular(np.linspace(-1, 1, 5)[None], np.log([[0.3, 0.2, 0.2, 0.2, 0.1]]), beta=0.5)
WINS = random_wins(1, (1, 5))
WINS[:, 4] = WINS[:, :, 4] = 0.0
SEPARABLE = np.triu(WINS[0] + 1, 1)[None] * (np.arange(5) < 4)
INFINITE = float("inf")


def _loss(reward, wins=WINS):
    margins = reward[:, None] - reward[None, :]
    return float((wins[0] * np.logaddexp(0, -margins) * (1 - np.eye(5))).sum())


def _slope(reward, wins=WINS):
    flow = -wins[0] * expit(reward[None, :] - reward[:, None]) * (1 - np.eye(5))
    return flow.sum(1) - flow.sum(0)


@pytest.mark.parametrize("wins", [WINS, SEPARABLE], ids=["finite", "separable"])
@pytest.mark.parametrize("bound", [0.2, 1.0, 6.0])
def test_the_bounded_fit_is_the_constrained_minimum(wins, bound):
    found = bounded.fit(TABULAR, wins, bound)
    options = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 5000}
    independent = minimize(
        _loss, np.zeros(5), (wins,), "L-BFGS-B", _slope, bounds=[(-bound, bound)] * 5, options=options
    )
    reward = np.asarray(found.reward)[0]
    assert int(found.status) == Status.converged
    assert np.abs(reward).max() < bound
    # The barrier leaves an excess of at most mu m, and says how much.
    assert float(found.excess) <= 1.01e-9 * _loss(reward, wins)
    assert _loss(reward, wins) - independent.fun <= float(found.excess) + 1e-12
    np.testing.assert_allclose(np.ptp(reward[:4]), np.ptp(independent.x[:4]), atol=1e-5)
    assert abs(reward[4]) < 1e-12  # the analytic centre
    np.testing.assert_array_equal(bounded.fit_bounded(TABULAR, wins, bound)[0], reward)


def test_the_bounded_fit_sees_the_class_through_its_rewards_alone():
    rng = np.random.default_rng(0)
    one_hot = bounded.fit(TABULAR, WINS, 0.2).reward
    mixed = dataclasses.replace(TABULAR, features=jnp.asarray(rng.standard_normal((1, 5, 5))))
    np.testing.assert_allclose(bounded.fit(mixed, WINS, 0.2).reward, one_hot, atol=1e-6)
    # Three directions in five coordinates: a box cut by a plane.
    features = rng.standard_normal((5, 3)) @ rng.standard_normal((3, 5))
    narrow = dataclasses.replace(TABULAR, features=jnp.asarray(features[None]))
    found = bounded.fit(narrow, WINS, 0.2)
    basis = np.linalg.svd(features)[0][:, :3]
    box = {"type": "ineq", "fun": lambda v: 0.2 - np.concatenate([basis @ v, -basis @ v])}
    independent = minimize(
        lambda v: _loss(basis @ v), np.zeros(3), method="SLSQP", constraints=[box], options={"ftol": 1e-14}
    )
    assert int(found.status) == Status.converged
    np.testing.assert_allclose(found.reward[0], basis @ independent.x, atol=1e-5)


def test_neither_labels_nor_bounds_of_an_impossible_context_move_the_bounded_fit():
    """Features that two contexts share: labels of the second, where rewards would be huge, count for nothing."""
    features = np.random.default_rng(4).normal(size=(1, 5, 3))
    both = np.concatenate([features, 40.0 * features[:, ::-1]])
    one = bl.Environment.create(features, target_params=np.zeros(3))
    two = bl.Environment.create(both, target_params=np.zeros(3), context_probs=[1.0, 0.0])
    wins = np.concatenate([WINS, 50.0 * np.triu(np.ones((1, 5, 5)), 1)])
    np.testing.assert_allclose(bounded.fit(two, wins, 0.5).params, bounded.fit(one, WINS, 0.5).params, atol=1e-6)


def test_without_labels_the_bounded_reward_is_zero():
    found = bounded.fit(TABULAR, np.zeros((1, 5, 5)), 3.0)
    np.testing.assert_array_equal(found.reward, np.zeros((1, 5)))
    assert int(found.status) == Status.converged


def _given(law, env, log_policy):
    del env, log_policy
    return law


@jax.jit
def _round(env, law, wins, beta):
    """A round of plain RLHF whose labels are those at hand plus the population's of a pair law: any data set."""
    algorithm = rlhf(INFINITE, beta=1.0, sampler=Partial(_given, law))
    algorithm = dataclasses.replace(algorithm, settings=algorithm.settings | {"beta": beta})
    state = algorithm.init(jax.random.key(0), env)
    return algorithm.step(jax.random.key(0), state._replace(wins=wins), env)


def _fitted_to(wins):
    return _round(TABULAR, jnp.zeros((1, 5, 5)), jnp.asarray(wins), jnp.float64(1.0))


def _of_population(env, beta):
    return _round(env, jnp.full((1, 5, 5), 0.04), jnp.zeros((1, 5, 5)), jnp.float64(beta))


def test_an_infinite_bound_is_the_plain_fit_of_least_norm():
    state, info = _fitted_to(WINS)
    reward = np.asarray(state.reward)[0]
    assert abs(reward[:4].sum()) < 1e-12  # the shortest: mean 0 over the compared actions,
    assert abs(reward[4]) < 1e-12  # and 0 where nothing is known
    np.testing.assert_allclose(_slope(reward), 0.0, atol=1e-9)
    assert int(info.status) == Status.converged
    wide = np.asarray(bounded.fit(TABULAR, WINS, 20.0).reward)[0]
    np.testing.assert_allclose(wide[:4] - wide[:4].mean(), reward[:4], atol=1e-7)
    _, info = _fitted_to(SEPARABLE)
    assert (int(info.status), int(info.existence)) == (Status.max_steps, Existence.separable)


def test_the_exact_policy_is_the_tilted_reference_at_its_own_temperature():
    # beta of the policy 0.25, of J 0.5: labels of the population give r*, the policy is pi_ref e^{r*/0.25}.
    logits = np.asarray(TABULAR.log_reference) + np.asarray(TABULAR.reward) / 0.25
    around = dataclasses.replace(TABULAR, log_base=TABULAR.log_reference)
    for env in (TABULAR, around):
        state, info = _of_population(env, 0.25)
        np.testing.assert_allclose(state.log_policy, logits - logsumexp(logits, axis=1, keepdims=True), atol=1e-8)
        # The parameters describe the same policy in the class.
        np.testing.assert_allclose(env.log_policy(state.params), state.log_policy, atol=1e-12)
        assert int(info.status) == Status.converged
    # Around the reference they are w/b.
    np.testing.assert_allclose(state.params, np.asarray(state.reward)[0] / 0.25, atol=1e-12)


def test_a_bounded_reward_keeps_the_policy_in_its_ball():
    for bound, temperature in ((0.2, 0.1), (0.2, 1.0), (6.0, 0.1)):
        log_policy = best_policy(TABULAR, bounded.fit(TABULAR, SEPARABLE, bound).reward, temperature)
        assert float(bl.metrics.kl_reference(TABULAR, log_policy)) <= 2 * bound / temperature
        ratio = np.asarray(log_policy - TABULAR.log_reference)
        assert ratio.max() <= 2 * bound / temperature


def test_rloo_ends_at_the_exact_policy_and_reinforce_stays_noisy():
    # At the optimum r_hat - b log pi/pi_ref is a constant, which leave-one-out baselines remove and REINFORCE keeps.
    start = TABULAR.log_reference[0]
    for name in ("rloo", "reinforce"):
        algorithm = rlhf(INFINITE, policy=name, num_samples=2, num_steps=2000, step_size=0.5)
        climb = jax.jit(partial(_ascend, algorithm))
        params, at_rest = climb(jax.random.key(0), TABULAR, TABULAR.reward, TABULAR.beta, start)
        distance = np.abs(TABULAR.log_policy(params) - TABULAR.log_target).max()
        if name == "rloo":
            assert distance < 1e-6
            assert at_rest
        else:
            assert distance > 1e-3
            assert not at_rest


def test_no_policy_leaves_the_support_of_the_reference():
    env = bl.instances.partial_coverage(5, 1.0)
    missing = ~np.isfinite(np.asarray(env.log_reference))
    log_policy = np.asarray(best_policy(env, env.reward, env.beta))
    assert missing.any()
    assert (log_policy[missing] == -math.inf).all()
    np.testing.assert_allclose(np.exp(log_policy), np.exp(env.log_target), atol=1e-12)


def _population(algorithm, env):
    return jax.jit(algorithm.step)(jax.random.key(0), algorithm.init(jax.random.key(0), env), env)


def test_ipo_solves_its_normal_equations_at_a_finite_margin_on_separable_data():
    env = random_environment(2, (1, 5, 3))
    algorithm = ipo(INFINITE, temperature=0.2, labeller=bl.preferences.deterministic)
    state, info = _population(algorithm, env)
    law = np.asarray(state.wins)
    features, half = np.asarray(env.features)[0], 0.5 * float(env.beta) / 0.2
    left, right = np.zeros((3, 3)), np.zeros(3)
    for i in range(5):
        for j in range(5):
            z = float(env.beta) * (features[i] - features[j])
            left, right = left + law[0, i, j] * np.outer(z, z), right + law[0, i, j] * half * z
    np.testing.assert_allclose(state.params, np.linalg.solve(left, right), rtol=1e-8)
    assert (int(info.status), int(info.existence)) == (Status.converged, Existence.exists)


def test_chi_po_of_the_true_reward_is_its_closed_form():
    state, _ = _population(chi_po(INFINITE, temperature=0.7), TABULAR)
    exact = bl.estimators.chi_po.policy(TABULAR, TABULAR.reward, 0.7)
    np.testing.assert_allclose(state.log_policy, exact, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rlhf(10, 0.0), "reward_bound must be positive; got 0.0"),
        (lambda: rlhf(10, -1.0), "reward_bound must be positive; got -1.0"),
        (lambda: rlhf(10, policy="ppo"), "policy must be one of 'exact', 'rloo', 'reinforce'; got 'ppo'"),
        (lambda: rlhf(10, policy="rloo", num_samples=1), "num_samples must be at least 2 for policy = 'rloo'; got 1"),
        (lambda: rlhf(10, beta=0.0), "beta must be positive and finite; got 0.0"),
        (lambda: rlhf(0), "num_pairs must be a whole number of at least 1 or inf; got 0"),
        (lambda: ipo(10, temperature=-1.0), "temperature must be positive and finite; got -1.0"),
        (lambda: chi_po(10, max_norm=0.0), "max_norm must be positive; got 0.0"),
        (lambda: bounded.fit(TABULAR, WINS, 0.0), "bound must be positive; got 0.0"),
        (lambda: bounded.fit(TABULAR, -WINS, 1.0), "wins must be non-negative; got -5.0"),
        (lambda: bounded.fit(TABULAR, WINS[0], 1.0), r"wins must be \(1, 5, 5\); got \(5, 5\)"),
    ],
)
def test_bad_numbers_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()
