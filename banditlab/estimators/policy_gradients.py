"""Gradients in the logits of E_x E_{y ~ pi(.|x)} f(x, y), f held fixed: exact, and estimated from draws of pi.

With f = log pi - log pi_ref under stop-gradient they are gradients of E_x KL(pi || pi_ref), because E_pi grad log pi
= 0. The score in the logits is grad log pi(y) = e_y - pi (docs/theory.md, Proposition 43).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.door import AnyTable, Draws, Key, LogPolicy, door
from banditlab.environment import Environment

__all__ = ["exact", "naive", "reinforce", "rloo", "sample"]


@door
def exact(env: Environment, log_policy: LogPolicy, values: AnyTable) -> Array:
    """(S, A) rho(x) pi(y|x) [f(x, y) - E_{pi(.|x)} f], for log_policy and values f (S, A).

    f must be finite where pi has mass; it is not read elsewhere.
    """
    _check_tables(env, log_policy, values)
    policy = jnp.exp(log_policy)
    values = jnp.where(policy > 0, values, 0.0)
    mean = jnp.einsum("xa,xa->x", policy, values)
    return env.context_probs[:, None] * policy * (values - mean[:, None])


@door
def sample(key: Key, log_policy: LogPolicy, num_samples: int) -> Array:
    """(S, k) actions, k = num_samples independent draws of log_policy (S, A) in every context."""
    num_samples = validation.steps("num_samples", num_samples)
    validation.tables("num_samples", log_policy.shape[0] * num_samples)
    # By inversion: one random number a draw, where the Gumbel trick takes one per action.
    cumulative = jnp.cumsum(jnp.exp(log_policy), axis=1)
    levels = jax.random.uniform(key, (log_policy.shape[0], num_samples), cumulative.dtype) * cumulative[:, -1:]
    # The first action whose cumulative mass exceeds the level has mass itself.
    below = jnp.sum(cumulative[:, None, :] <= levels[:, :, None], axis=2)
    return jnp.minimum(below, log_policy.shape[1] - 1)


@door
def rloo(env: Environment, log_policy: LogPolicy, values: AnyTable, actions: Draws) -> Array:
    """(S, A) rho/k sum_i (f_i - mean_{j != i} f_j) grad log pi(y_i): REINFORCE with leave-one-out baselines.

    Args:
        log_policy: (S, A).
        values: (S, A) f, finite on the sampled actions.
        actions: (S, k) from `sample`, k >= 2.

    Raises:
        ValueError: for shapes that do not match, or fewer than two draws.
    """
    num_samples = _check_draws(env, log_policy, actions, values, at_least=2)
    chosen = _one_hot(actions, log_policy)
    drawn = _drawn(values, chosen)
    # f_i - mean_{j != i} f_j = k/(k-1) (f_i - mean f); these sum to zero, so that the -pi of the scores drops out.
    centred = drawn - jnp.mean(drawn, axis=1, keepdims=True)
    return env.context_probs[:, None] * jnp.einsum("xk,xka->xa", centred, chosen) / (num_samples - 1)


@door
def reinforce(env: Environment, log_policy: LogPolicy, values: AnyTable, actions: Draws) -> Array:
    """(S, A) rho/k sum_i f_i grad log pi(y_i), without a baseline; arguments as in `rloo`, k >= 1."""
    _check_draws(env, log_policy, actions, values)
    chosen = _one_hot(actions, log_policy)
    return _weighted_scores(env, log_policy, _drawn(values, chosen), chosen)


@door
def naive(env: Environment, log_policy: LogPolicy, actions: Draws) -> Array:
    """(S, A) rho/k sum_i grad log pi(y_i): autodiff through the sampled log-ratio alone, whose mean is zero.

    What is left of the gradient of E_pi log(pi/pi_ref) if the draws (S, k) are not differentiated.
    """
    _check_draws(env, log_policy, actions)
    return _weighted_scores(env, log_policy, jnp.ones(actions.shape, log_policy.dtype), _one_hot(actions, log_policy))


def _weighted_scores(env: Environment, log_policy: Array, weights: Array, chosen: Array) -> Array:
    """(S, A) rho/k sum_i c_i (e_{y_i} - pi) for weights c (S, k)."""
    summed = jnp.einsum("xk,xka->xa", weights, chosen) - jnp.sum(weights, axis=1)[:, None] * jnp.exp(log_policy)
    return env.context_probs[:, None] * summed / weights.shape[1]


def _one_hot(actions: Array, log_policy: Array) -> Array:
    return jax.nn.one_hot(actions, log_policy.shape[1], dtype=log_policy.dtype)


def _drawn(values: Array, chosen: Array) -> Array:
    """(S, k) values of the drawn actions; those of other actions may be infinite."""
    return jnp.sum(jnp.where(chosen > 0, values[:, None, :], 0.0), axis=2)


def _check_tables(env: Environment, log_policy: Array, values: Array | None) -> None:
    table = (env.num_contexts, env.num_actions)
    validation.shape("log_policy", log_policy, table)
    if values is not None:
        validation.shape("values", values, table)
        read = jnp.where(log_policy > -jnp.inf, values, 0.0)
        if validation.is_concrete(read) and not jnp.isfinite(read).all():
            raise ValueError("values must be finite where log_policy has mass; got an infinite one there")


def _check_draws(
    env: Environment, log_policy: Array, actions: Array, values: Array | None = None, at_least: int = 1
) -> int:
    _check_tables(env, log_policy, values)
    if actions.ndim != 2 or actions.shape[0] != env.num_contexts or actions.shape[1] < at_least:
        raise ValueError(f"actions must be (num_contexts, k) with k of at least {at_least}; got {actions.shape}")
    if validation.is_concrete(actions) and (actions >= env.num_actions).any():
        raise ValueError(f"actions must be below num_actions = {env.num_actions}; got {actions.max()}")
    if values is not None and validation.is_concrete(values):
        sizes = np.abs(np.asarray(values))
        most = float(jnp.finfo(jnp.result_type(float)).max) / (2 * actions.shape[1])
        if (too_large := np.isfinite(sizes) & (sizes > most)).any():
            raise ValueError(f"values must have sums over {actions.shape[1]} draws; got {sizes[too_large].flat[0]}")
    return actions.shape[1]


def __dir__() -> list[str]:
    return __all__
