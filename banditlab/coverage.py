"""Coverage coefficients (docs/theory.md, section 1). Generalised ratios: +inf where a needed direction is missing.

V, M and H average over contexts; density ratios and leverages take the worst context of positive probability.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import policies, validation
from banditlab.door import Information, LogPolicy, Square, door
from banditlab.environment import Environment
from banditlab.numerics import factorise, linalg, tolerances
from banditlab.numerics.compilation import LOOPS, inner

__all__ = [
    "density_ratio",
    "kl_ball",
    "leverage",
    "operator",
    "operator_and_trace",
    "relative_to",
    "target_covariance",
    "trace",
    "trace_ratio",
]


@door
def operator(env: Environment, log_policy: LogPolicy) -> Array:
    """C_op(pi) = lambda_max(V(pi)^{-1} V*), () for log_policy (S, A); 1 when there is nothing to learn (rank 0)."""
    return operator_and_trace(env, log_policy)[0]


@door
def trace(env: Environment, log_policy: LogPolicy) -> Array:
    """C_tr(pi) = tr(V(pi)^{-1} V*), () for log_policy (S, A); the rank at pi*; inf if rounding loses a part of V*."""
    return operator_and_trace(env, log_policy)[1]


@door
def operator_and_trace(env: Environment, log_policy: LogPolicy) -> tuple[Array, Array]:
    """C_op and C_tr of log_policy (S, A), from one whitening."""
    if env.rank == 0:
        return jnp.ones_like(env.beta), jnp.zeros_like(env.beta)
    aim = target(env)
    whitened, missing = relative_to(policies.feature_covariance(env, log_policy), aim.covariance)
    missing = missing | ~aim.complete
    largest = factorise.eigenvalues(whitened)[-1]
    return jnp.where(missing, jnp.inf, largest), jnp.where(missing, jnp.inf, jnp.trace(whitened))


@door
def density_ratio(env: Environment, log_policy: LogPolicy) -> Array:
    """C_inf(pi) = max pi*/pi over the contexts of positive probability, () for log_policy (S, A)."""
    log_target = env.log_target
    needed = (env.context_probs[:, None] > 0) & jnp.isfinite(log_target)
    ratio = jnp.where(needed, log_target, 0.0) - jnp.where(needed, log_policy, 0.0)
    return jnp.exp(jnp.max(jnp.where(needed, ratio, -jnp.inf)))


@door
def kl_ball(env: Environment, radius: Array | float) -> Array:
    """C_kl(e): the largest pi/pi_ref over the full simplex of policies with E_x KL(pi || pi_ref) <= radius.

    max over (x, y) of q/p, with q in [p, 1] the root of kl(q || p) = radius / rho(x). radius = inf gives
    the global coefficient C_glo = 1 / min pi_ref, +inf where pi_ref misses an action of the class.
    For a linear class both are upper bounds.
    """
    if validation.is_concrete(radius):
        validation.positive("radius", radius, zero=True, infinite=True)
    p = jnp.exp(env.log_reference)
    reachable = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    supported = reachable & (p > 0)
    safe_p = jnp.where(supported, p, 0.5)
    safe_rho = jnp.where(env.context_probs > 0, env.context_probs, 1.0)
    budget = jnp.broadcast_to((jnp.asarray(radius, p.dtype) / safe_rho)[:, None], p.shape)
    ratio = jnp.max(jnp.where(supported, _largest_mass(safe_p, budget) / safe_p, 1.0))
    # An action without reference mass costs infinite KL: only the unconstrained supremum sees it.
    missing = jnp.any(reachable & (p == 0)) & jnp.isinf(jnp.asarray(radius, p.dtype))
    return jnp.where(missing, jnp.inf, ratio)


@door
def leverage(env: Environment, second_moment: Information) -> Array:
    """max_z z' M^{-1} z, () for M (rank, rank), over all differences of the class with rho(x) > 0; +inf if M lacks one.

    From the per-context Gram table q_ii + q_jj - 2 q_ij of the whitened features.
    """
    if env.rank == 0:
        return jnp.zeros_like(env.beta)
    rows, in_range = linalg.inverse_root(second_moment)
    allowed = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    features = env.reduced_features
    centred = features - features[:, :1]  # a common shift per context would only cost digits
    coordinates = jnp.einsum("rs,xas->xar", rows, centred)
    # Any difference along a null direction of M has infinite leverage.
    null = jnp.where(in_range[None, None, :], 0.0, coordinates)
    spread = jnp.where(allowed[..., None], null, -jnp.inf).max(1) - jnp.where(allowed[..., None], null, jnp.inf).min(1)
    magnitude = jnp.max(jnp.where(allowed[..., None], jnp.abs(null), 0.0))
    missing = jnp.any(spread > tolerances.at_least(1e-9, spread.dtype, 32) * magnitude)
    whitened = jnp.where(in_range[None, None, :], coordinates, 0.0)
    gram = jnp.einsum("xar,xbr->xab", whitened, whitened)
    square = jnp.einsum("xaa->xa", gram)
    table = square[:, :, None] + square[:, None, :] - 2 * gram
    pairs = allowed[:, :, None] & allowed[:, None, :]
    return jnp.where(missing, jnp.inf, jnp.max(jnp.where(pairs, table, 0.0)))


@door
def target_covariance(env: Environment) -> Array:
    """V* = V(pi*), (rank, rank) in reduced coordinates."""
    return policies.feature_covariance(env, env.log_target)


class Target(NamedTuple):
    """V* (rank, rank), and whether rounding left it its rank: that of the class, where pi_ref plays all its actions."""

    covariance: Array
    complete: Array


def target(env: Environment) -> Target:
    """V* as computed, and whether it is complete."""
    covariance = target_covariance(env)
    if env.rank == 0:
        return Target(covariance, jnp.ones((), bool))
    outside = jnp.isfinite(env.log_base) & ~jnp.isfinite(env.log_reference) & (env.context_probs[:, None] > 0)
    return Target(covariance, jnp.any(outside) | jnp.all(linalg.inverse_root(covariance)[1]))


def over(aim: Target, covering: Array) -> Array:
    """tr(covering^{-1} V*), () for (rank, rank); inf where `covering` misses a direction or V* is not complete."""
    return jnp.where(aim.complete, trace_ratio(covering, aim.covariance), jnp.inf)


@door
def trace_ratio(covering: Square, covered: Square) -> Array:
    """tr(covering^{-1} covered) of two (n, n) positive semi-definite matrices, +inf where a direction is missing."""
    if covering.shape[-1] == 0:
        return jnp.zeros((), covering.dtype)
    whitened, missing = relative_to(covering, covered)
    return jnp.where(missing, jnp.inf, jnp.trace(whitened))


@door
def relative_to(covering: Square, covered: Square) -> tuple[Array, Array]:
    """R covered R' with R covering R' = I on the range of `covering`, and whether `covered` leaves that range."""
    rows, in_range = linalg.inverse_root(covering)
    whitened = jnp.einsum("ij,jk,lk->il", rows, covered, rows)
    # For a null vector v of `covering`, v' covered v against its own scale: above rounding, it is missing.
    scale = jnp.einsum("ij,jj,ij->i", rows, covered, rows)
    missing = jnp.any(~in_range & (jnp.diagonal(whitened) > tolerances.at_least(1e-10, scale.dtype, 32) * scale))
    return jnp.where(in_range[:, None] & in_range[None, :], whitened, 0.0), missing


@inner(LOOPS)
def _largest_mass(p: Array, budget: Array) -> Array:
    """q in [p, 1] with kl(q || p) = budget by bisection (kl increases in q there); 1 if budget >= log 1/p."""

    def divergence(q: Array) -> Array:
        # kl(q || p) as a sum of two non-negative terms, each h(e) = (1 + e) log(1 + e) - e of a relative change.
        change = q - p
        return p * _excess(change / p) + (1 - p) * _excess(-change / (1 - p))

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = 0.5 * (low + high)
        inside = divergence(middle) <= budget
        return jnp.where(inside, middle, low), jnp.where(inside, high, middle)

    whole = (p >= 1) | (budget >= -jnp.log(p))
    safe_p = jnp.where(whole, 0.5, p)
    p, budget = safe_p, jnp.where(whole, 0.0, budget)
    low, _ = jax.lax.fori_loop(0, 60, halve, (p, jnp.ones_like(p)))
    return jnp.where(whole, 1.0, low)


def _excess(change: Array) -> Array:
    """(1 + e) log(1 + e) - e for e >= -1, elementwise, to rounding: near 0 by its series, where the terms cancel."""
    small = jnp.abs(change) < 1e-3
    e = jnp.where(small, change, 0.0)
    series = e**2 * (1 / 2 - e * (1 / 6 - e * (1 / 12 - e * (1 / 20 - e / 30))))
    whole = jax.scipy.special.xlogy(1 + change, 1 + change) - change
    return jnp.where(small, series, whole)


def __dir__() -> list[str]:
    return __all__
