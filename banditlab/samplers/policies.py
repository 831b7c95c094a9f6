"""Samplers that draw both actions from policies."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.door import LogPolicy, door
from banditlab.environment import Environment
from banditlab.policies import independent_pairs


@door
def initial(env: Environment, log_policy: LogPolicy) -> Array:
    """Offline: pi_0 x pi_0, never refreshed; (S, A, A)."""
    del log_policy
    return independent_pairs(env, env.log_initial, env.log_initial)


@door
def on_policy(env: Environment, log_policy: LogPolicy) -> Array:
    """On-policy: pi_k x pi_k; (S, A, A)."""
    return independent_pairs(env, log_policy, log_policy)


@door
def uniform(env: Environment, log_policy: LogPolicy) -> Array:
    """Both actions uniform on the actions of the class; (S, A, A)."""
    del log_policy
    log_uniform = uniform_policy(env)
    return independent_pairs(env, log_uniform, log_uniform)


@door
def policy_reference(env: Environment, log_policy: LogPolicy) -> Array:
    """XPO's pairs: y ~ pi_k against y' ~ pi_ref; (S, A, A).

    After 2405.21046: the public XPO trainer of the TRL library draws one completion from each of the two models,
    and 2502.04270 lists the scheme so. Only the pairs: XPO's exploration bonus is part of its loss.
    """
    return independent_pairs(env, log_policy, env.log_reference)


@door
def two_stage(fraction: float | Array, env: Environment, log_policy: LogPolicy) -> Array:
    """Two-stage mixed sampling: a `fraction` of the pairs from pi_k x pi_k, the rest from pi_0 x pi_0; (S, A, A).

    This project's reading of mixing offline and on-policy pairs; bind the fraction, a number in [0, 1], with
    `jax.tree_util.Partial(two_stage, fraction)`.

    Raises:
        ValueError: for a fraction outside [0, 1].
    """
    if validation.is_concrete(fraction) and validation.positive("fraction", fraction, zero=True) > 1:
        raise ValueError(f"fraction must be at most 1; got {fraction}")
    return fraction * on_policy(env, log_policy) + (1.0 - fraction) * initial(env, log_policy)


def uniform_policy(env: Environment) -> Array:
    """(S, A) log-probabilities, uniform on the actions of the class."""
    allowed = jnp.isfinite(env.log_base)
    return jnp.where(allowed, -jnp.log(jnp.sum(allowed, axis=1, keepdims=True)), -jnp.inf)
