"""The minimiser of any convex margin loss of a win matrix, with a status and a certificate of existence."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import losses, validation
from banditlab.door import Cells, Params, Wins, door
from banditlab.environment import Environment
from banditlab.estimators import newton
from banditlab.estimators.existence import Existence, certify
from banditlab.estimators.objective import build
from banditlab.numerics import tolerances


class Status(enum.IntEnum):
    """How a fit ended; an int8 in results.

    converged: the last step moved no observed margin by more than 1e-5, and the gradient (what the ridge and the cap
        leave of it) is below 1e-6 of what the labels pull.
    max_steps: no minimiser was reached, often because there is none.
    """

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


@door
def fit(
    env: Environment,
    wins: Wins,
    *,
    loss: losses.Loss = losses.dpo,
    target: Cells | None = None,
    ridge: float | Array = 0.0,
    center: Params | None = None,
    max_norm: float | Array = math.inf,
    warm_start: Params | None = None,
) -> Fit:
    """argmin_theta sum_x,i,j W[x,i,j] loss(h_ij) + (ridge/2) ||theta - center||^2 over ||theta||_2 <= max_norm.

    The ridge weighs against the SUM of losses. Components of theta along which no policy changes (rank < d)
    stay at `warm_start`; center and norm act on the others. On separable data without ridge or cap there is no
    minimiser: theta is returned where every observed margin is 40 or more, with `Status.max_steps`.

    The losses of `banditlab.losses` reach their minimiser wherever there is one; any other convex loss of the margin
    does if it has a second derivative that does not vanish before its first. One that bends nowhere (a hinge), or
    that rounds to a constant (-log(sigmoid(h)) written out, for `losses.dpo`), ends with `Status.max_steps`.

    Args:
        wins: (S, A, A) win matrix; the diagonal is ignored.
        loss: a convex elementwise function of the margin (and of `target`, if given).
        target: (S, A, A) regression targets per outcome, for `losses.ipo` and `losses.distillation`.
        ridge: non-negative.
        center: (d,), the parameters of pi_ref by default, zeros for the linear softmax.
        max_norm: positive; inf for no cap.
        warm_start: (d,), `env.start_params` by default; zeros where the class holds no pi_ref to start from.

    Raises:
        ValueError: for concrete arguments of the wrong shape or sign; where a ridge has no center because pi_ref is
            not in the class.
    """
    dtype = env.features.dtype
    start = _start(env) if warm_start is None else jnp.asarray(warm_start, dtype)
    center = _center(env, ridge) if center is None else jnp.asarray(center, dtype)
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
    pull = objective.pull(loss, margins) + ridge * jnp.linalg.norm(found.coordinates - reduced_center)
    outward = _outward(found.coordinates, total_gradient, max_norm) if capped else jnp.zeros_like(total_gradient)
    allowed = tolerances.at_least(newton.GRADIENT_TOLERANCE, dtype, 64)
    at_rest = jnp.linalg.norm(total_gradient - outward) <= allowed * pull
    # Without slope and curvature there is nothing to be certain of, but for labels that say nothing at all.
    resolved = objective.resolved(loss, margins) | (ridge > 0)
    told = (resolved & (jnp.trace(total_hessian) > 0)) | ~jnp.any(objective.observed)
    converged = (found.margin_change <= newton.MARGIN_TOLERANCE) & ~found.escaped & at_rest & told
    status = jnp.where(found.finite, jnp.where(converged, Status.converged, Status.max_steps), Status.nonfinite)
    return Fit(
        params=origin + _expand(env, found.coordinates),
        status=status.astype(jnp.int8),
        existence=certify(objective, loss, found.coordinates, gradient, hessian),
        gradient_norm=jnp.linalg.norm(total_gradient),
        decrement=jnp.sqrt(jnp.maximum(jnp.sum(total_gradient * newton_step), 0.0)),
        num_steps=found.num_steps,
    )


def _outward(point: Array, gradient: Array, max_norm: float | Array) -> Array:
    """The part (r,) of the gradient that a cap ||point|| <= max_norm holds: along -point, on the boundary alone."""
    norm = jnp.linalg.norm(point)
    share = jnp.minimum(jnp.sum(gradient * point), 0.0) / jnp.where(norm > 0, norm**2, 1.0)
    on_boundary = norm >= max_norm * (1 - newton.GRADIENT_TOLERANCE)
    return jnp.where(on_boundary, share * point, 0.0)


def _start(env: Environment) -> Array:
    unknown = env.initial_params is None and (env.reference_params is None or not env.holds_reference)
    return jnp.zeros_like(env.features[0, 0]) if unknown else env.start_params


def _center(env: Environment, ridge: float | Array) -> Array:
    if env.reference_params is not None and env.holds_reference:
        return env.reference_params
    if validation.is_concrete(ridge) and float(ridge) == 0.0:
        return jnp.zeros_like(env.features[0, 0])
    raise ValueError("center must be given with a ridge: pi_ref, its default, has no parameters in this policy class")


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
    if validation.is_concrete(ridge) and validation.positive("ridge", ridge, zero=True) > 0:
        validation.squarable("ridge", ridge)
    if validation.is_concrete(max_norm):
        validation.positive("max_norm", max_norm, infinite=True)
