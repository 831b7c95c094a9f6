"""Samplers that draw both actions from a policy."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from banditlab.environment import Environment
from banditlab.policies import independent_pairs


def initial(env: Environment, log_policy: Array) -> Array:
    """Offline: pi_0 x pi_0, never refreshed; (S, A, A)."""
    del log_policy
    return independent_pairs(env, env.log_initial, env.log_initial)


def on_policy(env: Environment, log_policy: Array) -> Array:
    """On-policy: pi_k x pi_k; (S, A, A)."""
    return independent_pairs(env, log_policy, log_policy)


def uniform(env: Environment, log_policy: Array) -> Array:
    """Both actions uniform on the actions of the class; (S, A, A)."""
    del log_policy
    allowed = jnp.isfinite(env.log_base)
    log_uniform = jnp.where(allowed, -jnp.log(jnp.sum(allowed, axis=1, keepdims=True)), -jnp.inf)
    return independent_pairs(env, log_uniform, log_uniform)
