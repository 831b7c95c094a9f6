"""Samplers that pair a policy tilted up by a reward with the same policy tilted down: Mix-R, Mix-P and PILAF.

Two of them are one law. Pairs (y, y') of a base policy q, weighted by the inverse variance of their label at the
reward t, are a mixture of two products, because 1/sigma'(u) = 2 + e^u + e^{-u}:

    q q' / sigma'(t - t')  ∝  q q' + Z+ Z- (q+ q-' + q- q+')/2,     q± = q e^{±t} / Z±,   Z± = E_q e^{±t}.   (*)

The weights cancel sigma' in H (I4): where t is the true reward, H = beta^2 E_x[Cov_q phi / (1 + Z+ Z-)], and the
logistic loss then has the curvature of least squares. Mix-R is (*) with q uniform and t = r*, Mix-P with the implicit
reward of pi_k for t, and PILAF's law in theory is (*) with q = pi_k. What could be read of the papers is said below.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.door import LogPolicy, door
from banditlab.environment import Environment
from banditlab.policies import independent_pairs
from banditlab.samplers.policies import on_policy, uniform_policy


def implicit_reward(env: Environment, log_policy: Array) -> Array:
    """beta log pi/pi_ref, (S, A), centred under pi_ref: the reward for which pi would be optimal.

    Where pi_ref or pi has no mass it is -inf or +inf without meaning: 0 is returned there.
    """
    known = jnp.isfinite(env.log_reference) & jnp.isfinite(log_policy)
    ratio = env.beta * (jnp.where(known, log_policy, 0.0) - jnp.where(known, env.log_reference, 0.0))
    # A common shift per context changes no pair law; it keeps the exponentials below in range.
    weights = jnp.where(known, jnp.exp(env.log_reference), 0.0)
    mean = jnp.sum(weights * ratio, axis=1) / jnp.maximum(jnp.sum(weights, axis=1), jnp.finfo(ratio.dtype).tiny)
    return jnp.where(known, ratio - mean[:, None], 0.0)


@door
def mix_r(env: Environment, log_policy: LogPolicy) -> Array:
    """Mix-R: (*) with q uniform and the true reward: knows r*, so not a sampler one could use; (S, A, A).

    After 2409.19605, whose abstract and whose authors' public bandit code were read, not its text: the code draws
    pairs in proportion to 1/(sigma(r - r') sigma(r' - r)), which is (*) with q uniform.
    """
    del log_policy
    return inverse_variance_pairs(env, uniform_policy(env), env.reward)


@door
def mix_p(env: Environment, log_policy: LogPolicy) -> Array:
    """Mix-P: (*) with q uniform and the implicit reward of pi_k; (S, A, A).

    After 2409.19605, read as for `mix_r`: its code has beta log pi for the reward, from a uniform reference. Taking
    beta log pi/pi_ref for other references is this project's reading, as is normalising in each context.
    """
    return inverse_variance_pairs(env, uniform_policy(env), implicit_reward(env, log_policy))


@door
def pilaf(env: Environment, log_policy: LogPolicy) -> Array:
    """PILAF: half the pairs from pi_k x pi_k, half from pi+ x pi-, pi± ∝ pi_k (pi_k/pi_ref)^{±beta}; (S, A, A).

    After 2502.04270, whose abstract, captions and cost table were read: pairs come from pi/pi or from pi+/pi-, at
    a mean cost of 3 generations against 2 and 4, hence one half each. The exponents are this project's reading of
    "interpolated"; with them `pilaf_weighted` has the property that the paper claims.
    """
    up, down, _ = _tilted(log_policy, implicit_reward(env, log_policy))
    return 0.5 * on_policy(env, log_policy) + 0.25 * (
        independent_pairs(env, up, down) + independent_pairs(env, down, up)
    )


@door
def pilaf_weighted(env: Environment, log_policy: LogPolicy) -> Array:
    """PILAF in theory: (*) with q = pi_k and its implicit reward; (S, A, A).

    The population gradient of DPO on these pairs is that of the objective J, up to terms of second order in the
    error of the reward and one factor per context. The mixing weight 1 : Z+ Z- is this project's derivation.
    """
    return inverse_variance_pairs(env, log_policy, implicit_reward(env, log_policy))


def inverse_variance_pairs(env: Environment, log_base: Array, tilt: Array) -> Array:
    """The pair law (*), (S, A, A), of a base policy's log-probabilities (S, A) and a reward (S, A)."""
    up, down, log_mass = _tilted(log_base, tilt)
    share = jax.nn.sigmoid(log_mass)[:, None, None]
    crossed = 0.5 * (independent_pairs(env, up, down) + independent_pairs(env, down, up))
    return (1.0 - share) * independent_pairs(env, log_base, log_base) + share * crossed


def _tilted(log_base: Array, tilt: Array) -> tuple[Array, Array, Array]:
    """log q+, log q- (S, A) and log Z+ Z- (S,)."""
    log_up, log_down = jax.nn.logsumexp(log_base + tilt, axis=1), jax.nn.logsumexp(log_base - tilt, axis=1)
    return log_base + tilt - log_up[:, None], log_base - tilt - log_down[:, None], log_up + log_down
