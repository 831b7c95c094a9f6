"""Descent on DPO, IPO and HyPO losses: its gradients, its estimators of the KL's, its records and its statuses."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_environments import random_environment, random_policy, random_wins
from scipy.special import expit

import banditlab as bl
from banditlab import losses, policy_gradients, trajectories
from banditlab.estimators import descent
from banditlab.numerics import adam

ENV = random_environment(3)
WINS = random_wins(3, (3, 4))
START = np.array([0.3, -0.5, 0.8])
KEY = jax.random.key(0)
compiled = jax.jit(descent.descend, static_argnames=("loss", "kl", "num_samples", "optimizer"))


def descend(wins=WINS, start=START, *, env=ENV, record_at=(0, 1), key=KEY, run=compiled, **options):
    """`descend` with arrays for every number, so that tests share programs."""
    numbers = {"step_size": 0.5, "penalty": 0.0, "beta": float(ENV.beta)} | options
    arrays = {
        name: value if isinstance(value, str) or callable(value) else jnp.asarray(value)
        for name, value in numbers.items()
    }
    return run(key, env, jnp.asarray(wins), jnp.asarray(start), record_at=jnp.asarray(record_at), **arrays)


@jax.jit
def sampled(keys, record_at, penalty):
    """Parameters (keys, R, d) of runs with RLOO gradients from two draws."""
    traced.append(None)
    options = {"record_at": record_at, "step_size": 1.0, "penalty": penalty, "kl": "rloo", "num_samples": 2}
    return jax.vmap(lambda key: descent.descend(key, ENV, WINS, START, **options).params)(keys)


traced: list[None] = []


@functools.partial(jax.jit, static_argnums=3)
@jax.grad
def slope(params, penalty, beta, loss, *target):
    """Autodiff of the objective on ENV and WINS."""
    log_policy = ENV.log_policy(params)
    scores = beta * (log_policy - ENV.log_reference)
    terms = loss(scores[:, :, None] - scores[:, None, :], *target)
    return jnp.sum(WINS * (1 - np.eye(4)) * terms) / WINS.sum() + penalty * bl.metrics.kl_reference(ENV, log_policy)


@pytest.mark.parametrize("loss", [losses.dpo, losses.ipo])
def test_a_step_follows_the_gradient_of_loss_and_penalty(loss):
    target = () if loss is losses.dpo else (np.random.default_rng(0).standard_normal((3, 4, 4)),)
    gradient = slope(jnp.asarray(START), 0.3, 0.4, loss, *target)
    found = descend(penalty=0.3, beta=0.4, loss=loss, **({"target": target[0]} if target else {}))
    np.testing.assert_allclose(found.params, [START, START - 0.5 * np.asarray(gradient)], rtol=1e-13)
    assert float(found.gradient_norm[0]) == pytest.approx(np.linalg.norm(gradient), rel=1e-12)


def test_many_actions_have_the_same_gradient_as_few(monkeypatch):
    unrolled = descend(record_at=(1, 2), penalty=0.3, loss=losses.dpo)
    monkeypatch.setattr(descent, "_UNROLL_LIMIT", 2)
    whole = descend(
        record_at=(1, 2), penalty=0.3, loss=losses.dpo, run=jax.jit(descent.descend, static_argnames="loss")
    )
    np.testing.assert_allclose(whole.params, unrolled.params, rtol=1e-13)


def test_records_are_points_of_one_path_and_budgets_do_not_recompile():
    keys = jax.random.split(KEY, 1024)
    early, late = sampled(keys, jnp.array([0, 3]), 0.2), sampled(keys, jnp.array([3, 9]), 0.2)
    np.testing.assert_array_equal(early[:, 1], late[:, 0])
    np.testing.assert_array_equal(early[:, 0], np.broadcast_to(START, (1024, 3)))
    sampled(keys, jnp.array([1, 2]), 0.7)
    assert len(traced) == 1


def test_every_label_bought_counts_in_the_mean_whether_it_tells_or_not():
    informative = WINS * (1 - np.eye(4))
    alone, padded = (descend(wins, loss=losses.dpo) for wins in (informative, informative + 2 * np.eye(4)))
    ratio = informative.sum() / (informative.sum() + 3 * 4 * 2)
    np.testing.assert_allclose(padded.params[1] - START, ratio * (alone.params[1] - START), rtol=1e-12)


def test_adam_is_adam():
    rate, first, second, params = 0.05, 0.0, 0.0, jnp.asarray(START)
    for t in range(1, 4):
        gradient = np.asarray(slope(params, 0.3, 0.4, losses.dpo))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        params = params - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    found = descend(record_at=(0, 3), step_size=rate, penalty=0.3, beta=0.4, optimizer="adam")
    np.testing.assert_allclose(found.params[1], params, rtol=1e-10)


# Statuses


def test_a_class_that_can_leave_the_references_support_has_no_penalised_run():
    reference = np.log(np.array([[0.5, 0.3, 0.2], [0.4, 0.6, 1.0]]))
    reference[1] = [np.log(0.4), np.log(0.6), -np.inf]
    env = bl.instances.tabular(np.zeros((2, 3)), reference)
    wins, start = np.ones((2, 3, 3)), np.arange(6.0)
    steps = {"record_at": (0, 50), "loss": losses.dpo}
    refused, allowed = (descend(wins, start, env=env, penalty=penalty, **steps) for penalty in (0.1, 0.0))
    assert refused.status == bl.Status.nonfinite
    np.testing.assert_array_equal(refused.params, [start, start])
    assert allowed.status == bl.Status.max_steps
    # The uncovered action is compared with none: plain descent leaves its logit alone.
    assert allowed.params[1, 5] == 5.0
    assert np.abs(allowed.params[1, :5] - start[:5]).min() > 0
    # A context of probability zero is none.
    never = env.replace(context_probs=np.array([1.0, 0.0]))
    assert descend(wins, start, env=never, penalty=0.1, **steps).status == bl.Status.max_steps


def test_divergence_is_a_status_and_the_parameters_stay_finite():
    found = descend(record_at=(0, 1000), step_size=1e9, loss=losses.ipo, target=np.ones((3, 4, 4)))
    assert found.status == bl.Status.nonfinite
    assert np.isfinite(found.params).all()
    assert not np.isnan(found.gradient_norm).any()


# Estimators of the KL's gradient


def test_the_mean_of_every_estimator_over_all_draws_is_what_it_estimates():
    log_policy, values = jnp.asarray(random_policy(1, (3, 4))), jnp.asarray(random_policy(2, (3, 4)))
    exact = policy_gradients.exact(ENV, log_policy, values)
    draws = jnp.asarray(list(itertools.product(range(4), repeat=2)))
    weights = np.exp(np.asarray(log_policy))[:, draws].prod(axis=2)  # (S, 16), of both draws in each context
    for estimate in (
        lambda actions: policy_gradients.rloo(ENV, log_policy, values, actions),
        lambda actions: policy_gradients.reinforce(ENV, log_policy, values, actions),
    ):
        drawn = jax.vmap(lambda pair, f=estimate: f(jnp.broadcast_to(pair, (3, 2))))(draws)
        np.testing.assert_allclose(np.einsum("xm,mxa->xa", weights, drawn), exact, atol=1e-14)
    naive = jax.vmap(lambda pair: policy_gradients.naive(ENV, log_policy, jnp.broadcast_to(pair, (3, 2))))(draws)
    np.testing.assert_allclose(np.einsum("xm,mxa->xa", weights, naive), 0.0, atol=1e-15)
    assert np.abs(naive).max() > 0.01


def test_exact_and_naive_gradients_are_those_of_autodiff():
    logits, values = jnp.asarray(random_policy(1, (3, 4))) + 0.7, jnp.asarray(random_policy(2, (3, 4)))
    actions = jnp.asarray([[0, 1, 1], [3, 3, 3], [2, 0, 1]])

    def expected(logits):
        return jnp.einsum("x,xa,xa->", ENV.context_probs, jax.nn.softmax(logits), values)

    def of_draws(logits):
        ratios = jnp.take_along_axis(jax.nn.log_softmax(logits) - ENV.log_reference, actions, axis=1)
        return jnp.einsum("x,xk->", ENV.context_probs, ratios) / 3

    log_policy = jax.nn.log_softmax(logits)
    np.testing.assert_allclose(
        policy_gradients.exact(ENV, log_policy, values), jax.jit(jax.grad(expected))(logits), atol=1e-15
    )
    np.testing.assert_allclose(
        policy_gradients.naive(ENV, log_policy, actions), jax.jit(jax.grad(of_draws))(logits), atol=1e-15
    )


def test_draws_have_the_policys_law_and_never_an_action_without_mass():
    with np.errstate(divide="ignore"):
        log_policy = np.log(np.array([[0.0, 0.2, 0.0, 0.8, 0.0], [0.1, 0.2, 0.3, 0.4, 0.0]]))
    drawn = np.asarray(policy_gradients.sample(KEY, jnp.asarray(log_policy), 40_000))
    assert drawn.shape == (2, 40_000)
    shares = np.stack([np.bincount(row, minlength=5) for row in drawn]) / 40_000
    error = np.sqrt(np.exp(log_policy) * (1 - np.exp(log_policy)) / 40_000)
    assert (np.abs(shares - np.exp(log_policy)) <= 4 * error).all()


def test_sampled_steps_average_to_the_exact_one():
    exact = descend(step_size=1.0, penalty=1.0, loss=losses.dpo).params[1]
    drawn = sampled(jax.random.split(jax.random.key(1), 1024), jnp.array([0, 1]), 1.0)[:, 1]
    assert (np.abs(drawn.mean(0) - exact) <= 4 * drawn.std(0, ddof=1) / 32).all()
    assert drawn.std(0).min() > 0.01


# Trajectories


def numpy_path(wins, num_steps, step_size, penalty, beta):
    """Plain loops over one context, uniform reference, tabular softmax."""
    theta = np.zeros(len(wins))
    for _ in range(num_steps):
        slope = np.zeros_like(theta)
        for i in range(len(theta)):
            for j in set(range(len(theta))) - {i}:
                pull = wins[i, j] / wins.sum() * beta * expit(-beta * (theta[i] - theta[j]))
                slope[i], slope[j] = slope[i] - pull, slope[j] + pull
        policy = np.exp(theta - theta.max())
        policy /= policy.sum()
        log_ratio = np.log(policy * len(theta))
        theta = theta - step_size * (slope + penalty * policy * (log_ratio - policy @ log_ratio))
    return theta


def test_every_run_of_many_is_a_plain_loop_and_is_measured_where_asked():
    env = bl.instances.tabular(np.array([[0.0, 0.5, 1.0]]), beta=0.8)
    wins = np.stack([random_wins(seed, (1, 3)) for seed in range(5)])
    penalties, betas = np.linspace(0.0, 0.4, 5), np.linspace(0.3, 1.1, 5)
    groups = np.array([[[1, 0, 0]], [[0, 1, 1]]])
    found = trajectories.paths(
        env, wins, record_at=[0, 7, 30], step_size=0.9, penalty=penalties, beta=betas, groups=groups,
        metrics=("gap", "kl_reference"),
    )  # fmt: skip
    for lane in range(5):
        for place, steps in ((1, 7), (2, 30)):
            theta = numpy_path(wins[lane, 0], steps, 0.9, penalties[lane], betas[lane])
            np.testing.assert_allclose(found["params"][lane, place], theta, rtol=1e-10, atol=1e-13)
    policy = np.exp(found["log_policy"][:, :, 0])
    np.testing.assert_allclose(found["group_mass"], np.stack([policy[..., 0], policy[..., 1:].sum(-1)], -1), rtol=1e-13)
    np.testing.assert_allclose(found["kl_reference"], (policy * np.log(3 * policy)).sum(-1), atol=1e-14)
    rewards = betas[:, None, None] * np.log(3 * policy)
    np.testing.assert_allclose(found["implicit_reward"][:, :, 0], rewards, atol=1e-14)
    assert found["gap"].shape == found["gradient_norm"].shape == (5, 3)
    assert found["status"].shape == (5,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_is_optax_s_to_rounding(dtype):
    params = {"weights": jnp.zeros((2, 3), dtype), "bias": jnp.zeros(3, dtype)}
    theirs, state, ours = optax.scale_by_adam(), optax.scale_by_adam().init(params), adam.start(params)
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-6, 1e3, 1.0):
        gradient = jax.tree.map(lambda leaf, by=scale: jnp.asarray(by * rng.standard_normal(leaf.shape), dtype), params)
        with jax.numpy_dtype_promotion("standard"):
            expected, state = theirs.update(gradient, state)
        found, ours = adam.direction(gradient, ours)
        assert jax.tree.structure(ours) == jax.tree.structure(state)
        for name in params:
            assert found[name].dtype == dtype
            # Six roundings: of the two reciprocals, the two products, the root, the sum below the bar.
            np.testing.assert_allclose(found[name], expected[name], rtol=8 * np.finfo(dtype).eps)


# Arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wins": np.ones((3, 4))}, r"wins must be \(3, 4, 4\); got \(3, 4\)"),
        ({"start": np.ones(2)}, r"start must be \(3,\); got \(2,\)"),
        (
            {"record_at": np.array([3, 3])},
            r"record_at must be whole numbers from 0 to 2\^31 - 1, increasing; got \[3. 3.\]",
        ),
        ({"record_at": 3}, r"record_at must be a non-empty list of step counts; got shape \(\)"),
        ({"step_size": 0.0}, "step_size must be positive and finite; got 0.0"),
        ({"penalty": -0.1}, "penalty must be non-negative and finite; got -0.1"),
        ({"beta": 0.0}, "beta must be positive and finite; got 0.0"),
        ({"kl": "sampled"}, "kl must be one of 'exact', 'rloo', 'reinforce'; got 'sampled'"),
        ({"kl": "rloo"}, "num_samples must be at least 2 for kl = 'rloo'; got 1"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1; got 0"),
        ({"optimizer": "sgd"}, "optimizer must be one of 'gradient', 'adam'; got 'sgd'"),
        ({"loss": losses.ipo}, r"target must be \(3, 4, 4\) for losses.ipo"),
    ],
)
def test_descent_names_what_it_refuses(changes, message):
    given = {"wins": WINS, "start": START, "record_at": np.array([1]), "step_size": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        descent.descend(KEY, ENV, given.pop("wins"), given.pop("start"), **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wins": WINS}, r"wins must be \(num_runs, 3, 4, 4\); got \(3, 4, 4\)"),
        ({"wins": -WINS[None]}, "wins must be at least one table, non-negative; got 1, least -5"),
        ({"penalty": [0.1, 0.2]}, r"penalty must be \(1,\); got \(2,\)"),
        ({"penalty": -0.1}, "penalty must be non-negative and finite; got -0.1"),
        ({"step_size": 0.0}, "step_size must be positive and finite; got 0.0"),
        ({"start": np.ones((2, 3))}, r"start must be \(1, 3\); got \(2, 3\)"),
        ({"record_at": [2, 1]}, r"record_at must be whole numbers from 0 to 2\^31 - 1, increasing"),
        ({"metrics": ("regret",)}, "metrics must be among .*; got 'regret'"),
        ({"groups": np.ones((3, 4))}, r"groups must be \(num_groups, 3, 4\); got \(3, 4\)"),
    ],
)
def test_trajectories_name_what_they_refuse(changes, message):
    given = {"wins": WINS[None], "record_at": [1], "step_size": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        trajectories.paths(ENV, given.pop("wins"), **given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: policy_gradients.exact(ENV, p[0], p), r"log_policy must be \(3, 4\); got \(4,\)"),
        (lambda p: policy_gradients.exact(ENV, p, p[0]), r"values must be \(3, 4\); got \(4,\)"),
        (lambda p: policy_gradients.naive(ENV, p, jnp.zeros(3, int)), r"actions must be .*; got \(3,\)"),
        (lambda p: policy_gradients.rloo(ENV, p, p, jnp.zeros((3, 1), int)), r"k of at least 2; got \(3, 1\)"),
    ],
)
def test_policy_gradients_name_what_they_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.asarray(random_policy(1, (3, 4))))
