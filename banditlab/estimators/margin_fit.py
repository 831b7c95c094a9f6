"""The minimiser of any convex margin loss of a win matrix, with a status and a certificate of existence."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import losses, validation
from banditlab.environment import Environment
from banditlab.estimators import newton
from banditlab.estimators.existence import Existence, certify
from banditlab.estimators.objective import build


class Status(enum.IntEnum):
    """How a fit ended; an int8 in results. `max_steps`: no minimiser was reached, often because there is none."""

    converged = 0
    max_steps = 1
    nonfinite = 2


class Fit(NamedTuple):
    """The result of `fit`; every field an array, so that fits batch under `vmap`.

    Attributes:
        params: (d,) the minimiser, or the last iterate.
        status: () int8, `Status` of the optimisation.
        existence: () int8, `Existence` of the unregularised optimum, as certified at `params`.
        gradient_norm: () Euclidean norm of the objective's gradient (ridge included) at `params`.
        decrement: () Newton decrement sqrt(g' H^{-1} g) of the objective at `params`.
        num_steps: () int32.
    """

    params: Array
    status: Array
    existence: Array
    gradient_norm: Array
    decrement: Array
    num_steps: Array


def fit(
    env: Environment,
    wins: Array,
    *,
    loss: losses.Loss = losses.dpo,
    target: Array | None = None,
    ridge: float | Array = 0.0,
    center: Array | None = None,
    max_norm: float | Array = math.inf,
    warm_start: Array | None = None,
) -> Fit:
    """argmin_theta sum_x,i,j W[x,i,j] loss(h_ij) + (ridge/2) ||theta - center||^2 over ||theta||_2 <= max_norm.

    The ridge weighs against the SUM of losses. Components of theta along which no policy changes (rank < d)
    stay at `warm_start`; center and norm act on the others. On separable data without ridge or cap there is no
    minimiser: theta is returned where every observed margin is 40 or more, with `Status.max_steps`.

    Args:
        wins: (S, A, A) win matrix; the diagonal is ignored.
        loss: a convex elementwise function of the margin (and of `target`, if given).
        target: (S, A, A) regression targets per outcome, for `losses.ipo` and `losses.distillation`.
        ridge: non-negative.
        center: (d,), zeros by default.
        max_norm: positive; inf for no cap.
        warm_start: (d,), `env.start_params` by default.

    Raises:
        ValueError: for concrete arguments of the wrong shape or sign.
    """
    dtype = env.features.dtype
    start = env.start_params if warm_start is None else jnp.asarray(warm_start, dtype)
    center = jnp.zeros_like(env.start_params) if center is None else jnp.asarray(center, dtype)
    _check(env, wins, loss, target, ridge, center, max_norm, start)
    capped = not (validation.is_concrete(max_norm) and math.isinf(float(max_norm)))
    ridge = jnp.asarray(ridge, dtype)
    if env.rank == 0:
        zero = jnp.zeros((), dtype)
        return Fit(start, jnp.int8(Status.converged), jnp.int8(Existence.undetermined), zero, zero, jnp.int32(0))

    objective = build(env, jnp.asarray(wins, dtype), target)
    origin, reduced = _reduce(env, start)
    _, reduced_center = _reduce(env, center)
    found = newton.minimise(
        objective,
        loss,
        reduced,
        ridge=ridge,
        center=reduced_center,
        max_norm=jnp.asarray(max_norm, dtype) if capped else None,
    )
    margins = objective.margins(found.coordinates)
    gradient, hessian = objective.derivatives(loss, margins)
    total_gradient = gradient + ridge * (found.coordinates - reduced_center)
    total_hessian = hessian + ridge * jnp.eye(env.rank, dtype=dtype)
    newton_step = newton.linalg.solve_psd(total_hessian, total_gradient)
    converged = (found.margin_change <= newton.MARGIN_TOLERANCE) & ~found.escaped
    status = jnp.where(found.finite, jnp.where(converged, Status.converged, Status.max_steps), Status.nonfinite)
    return Fit(
        params=origin + _expand(env, found.coordinates),
        status=status.astype(jnp.int8),
        existence=certify(objective, loss, found.coordinates, gradient, hessian),
        gradient_norm=jnp.linalg.norm(total_gradient),
        decrement=jnp.sqrt(jnp.maximum(jnp.sum(total_gradient * newton_step), 0.0)),
        num_steps=found.num_steps,
    )


def _reduce(env: Environment, params: Array) -> tuple[Array, Array]:
    """The part of params (d,) that changes no policy, and its coordinates (rank,) in the difference basis."""
    if env.rank == env.num_features:
        return jnp.zeros_like(params), params
    coordinates = jnp.einsum("dr,d->r", env.difference_basis, params)
    return params - _expand(env, coordinates), coordinates


def _expand(env: Environment, coordinates: Array) -> Array:
    if env.rank == env.num_features:
        return coordinates
    return jnp.einsum("dr,r->d", env.difference_basis, coordinates)


def _check(env: Environment, wins, loss, target, ridge, center, max_norm, start) -> None:
    table = (env.num_contexts, env.num_actions, env.num_actions)
    if loss is losses.dpo and target is not None:
        raise ValueError(f"target must be left out for losses.dpo; got an array of shape {np.shape(target)}")
    if losses.is_quadratic(loss) and target is None:
        raise ValueError(f"target must be {table} for losses.ipo and losses.distillation; got None")
    for name, value, shape in (
        ("wins", wins, table),
        ("target", target, table),
        ("center", center, (env.num_features,)),
        ("warm_start", start, (env.num_features,)),
    ):
        if value is None:
            continue
        validation.shape(name, value, shape)
        if validation.is_concrete(value):
            validation.array(name, value, shape)
    if validation.is_concrete(wins) and (np.asarray(wins) < 0).any():
        raise ValueError(f"wins must be non-negative; got {np.asarray(wins).min()}")
    if validation.is_concrete(ridge):
        validation.positive("ridge", ridge, zero=True)
    if validation.is_concrete(max_norm):
        validation.positive("max_norm", max_norm, infinite=True)
