"""Moments and divergences of policy tables (S, A) of log-probabilities, accurate in every tail."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.door import LogPolicy, door
from banditlab.environment import Environment

__all__ = ["feature_covariance", "independent_pairs", "kl", "mean_features"]


@door
def kl(env: Environment, log_p: LogPolicy, log_q: LogPolicy) -> Array:
    """E_x KL(p || q) for tables (S, A) of log-probabilities; +inf where p has mass that q lacks.

    Summed as p (expm1(t) - t) with t = log q - log p, so that a divergence of 1e-12 keeps ten digits:
    sum q - sum p = 0 is added in, which removes the terms of first order.
    """
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    shared = jnp.isfinite(log_p) & jnp.isfinite(log_q)
    t = jnp.where(shared, log_q, 0.0) - jnp.where(shared, log_p, 0.0)
    near = jnp.abs(t) < 1.0
    safe = jnp.where(near, t, 0.0)
    terms = jnp.where(near, p * (jnp.expm1(safe) - safe), q - p - p * t)
    terms = jnp.where(shared, terms, jnp.where(jnp.isfinite(log_p), jnp.inf, q))
    # A context of probability zero counts for nothing, even where the divergence is infinite.
    weighted = jnp.where(env.context_probs > 0, jnp.sum(terms, axis=-1) * env.context_probs, 0.0)
    return jnp.maximum(jnp.sum(weighted), 0.0)


@door
def mean_features(env: Environment, log_policy: LogPolicy) -> Array:
    """(S, rank) E_{y ~ pi(.|x)} phi(x, y), in reduced coordinates."""
    validation.shape("log_policy", log_policy, (env.num_contexts, env.num_actions))
    return jnp.einsum("xa,xar->xr", jnp.exp(log_policy), env.reduced_features)


@door
def feature_covariance(env: Environment, log_policy: LogPolicy) -> Array:
    """V(pi) = E_x Cov_{y ~ pi} phi, (rank, rank) in reduced coordinates (I1: E zz' = 2 V for y, y' iid pi).

    A sum of positive terms around the mean, so rare actions keep their relative accuracy.
    """
    validation.shape("log_policy", log_policy, (env.num_contexts, env.num_actions))
    # Less the likeliest action first: what is constant where the policy plays has no variance, not one of rounding.
    likeliest = jnp.argmax(log_policy, axis=1)[:, None] == jnp.arange(env.num_actions)[None]
    anchor = jnp.sum(jnp.where(likeliest[:, :, None], env.reduced_features, 0.0), axis=1, keepdims=True)
    probs, features = jnp.exp(log_policy), env.reduced_features - anchor
    centred = features - jnp.einsum("xa,xar->xr", probs, features)[:, None, :]
    weights = env.context_probs[:, None] * probs
    return jnp.einsum("xa,xar,xas->rs", weights, centred, centred)


@door
def independent_pairs(env: Environment, log_first: LogPolicy, log_second: LogPolicy) -> Array:
    """Pair law (S, A, A) of y ~ first, y' ~ second, independent given x ~ rho."""
    return env.context_probs[:, None, None] * jnp.exp(log_first)[:, :, None] * jnp.exp(log_second)[:, None, :]


def __dir__() -> list[str]:
    return __all__
