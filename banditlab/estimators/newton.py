"""Damped Newton for a convex margin loss with a ridge or a norm cap; vectorises over seeds."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.estimators.objective import Objective
from banditlab.losses import Loss, dpo, is_quadratic
from banditlab.numerics import factorise, linalg, tolerances
from banditlab.numerics.compilation import LOOPS, inner

MAX_STEPS = 100

# The last step may move no observed margin by more than this. Newton's error is then of the order of its
# square, 1e-10, far below any statistical error at n <= 1e15.
MARGIN_TOLERANCE = 1e-5


# A step that small leaves a gradient of about its square, 1e-10 of what the labels pull, for a loss whose third
# derivative is of the order of its second; a sum of rounded terms errs by far less. What is left above this share is
# no minimum: the loss bends nowhere, or less than it says.
GRADIENT_TOLERANCE = 1e-6

# Without ridge or cap, a direction that raises the margin of every observed outcome lowers the loss for ever: there
# is no minimiser. Every so many steps the way gone since the last look is tested for being such a direction; it is
# then followed until every observed margin is this large and the loss below n e^{-40}.
_ESCAPE_MARGIN = 40.0
_STEPS_BETWEEN_TESTS = 8


class Minimum(NamedTuple):
    """Where Newton stopped: coordinates (r,), the last change of an observed margin, steps, and two verdicts.

    `finite`: no step was nan or infinite. `escaped`: there is no minimiser, see `minimise`.
    """

    coordinates: Array
    margin_change: Array
    num_steps: Array
    finite: Array
    escaped: Array


@inner(LOOPS, static="loss")
def minimise(
    objective: Objective, loss: Loss, start: Array, *, ridge: Array, center: Array, max_norm: Array | None
) -> Minimum:
    """argmin of the sum of losses + (ridge/2) ||w - center||^2, over ||w||_2 <= max_norm if given.

    A step is shortened to log(1 + m) / m of a full one, m the largest change of an observed margin: the optimal
    damping of a generalised self-concordant function (|l'''| <= l''), so it descends from any start. The logistic
    loss is one, and its curvature falls with |h|: there m is the largest change of a margin that moves towards zero,
    since pairs that are decided and become more so add no curvature on the way. A regression needs no damping.
    Without an informative pair nothing moves: w = start.
    If all observed margins have risen after a few steps, the logistic loss has no minimiser (without ridge and cap),
    and the way there is taken to its end at once.
    """
    separable = loss is dpo and max_norm is None

    def unfinished(reached: Minimum) -> Array:
        going = (reached.margin_change > MARGIN_TOLERANCE) & reached.finite & ~reached.escaped
        return going & (reached.num_steps < MAX_STEPS)

    def step(state: tuple[Minimum, Array]) -> tuple[Minimum, Array]:
        reached, margins = state
        gradient, hessian = objective.derivatives(loss, margins)
        gradient = gradient + ridge * (reached.coordinates - center)
        hessian = hessian + ridge * jnp.eye(hessian.shape[-1], dtype=hessian.dtype)
        if max_norm is None:
            direction = -linalg.solve_psd(hessian, gradient)
        else:
            direction = step_in_ball(hessian, gradient, reached.coordinates, max_norm)
        change = objective.change(direction)
        largest = jnp.max(jnp.where(objective.observed, jnp.abs(change), 0.0), initial=0.0)
        bending = objective.observed & (margins * change < 0) if loss is dpo else objective.observed
        bend = jnp.max(jnp.where(bending, jnp.abs(change), 0.0), initial=0.0)
        damped = jnp.log1p(bend) / jnp.where(bend > 0, bend, 1.0)
        length = jnp.where((bend > 0) & (not is_quadratic(loss)), damped, 1.0)
        finite = jnp.isfinite(largest) & jnp.all(jnp.isfinite(direction))
        length = jnp.where(finite, length, 0.0)
        coordinates = reached.coordinates + length * jnp.where(finite, direction, 0.0)
        moved = Minimum(coordinates, largest, reached.num_steps + 1, finite, reached.escaped)
        return moved, margins + length * jnp.where(finite, change, 0.0)

    def search(state: tuple[Minimum, Array]) -> tuple[Minimum, Array]:
        before, _ = state
        pause = before.num_steps + _STEPS_BETWEEN_TESTS
        reached, margins = jax.lax.while_loop(
            lambda state: unfinished(state[0]) & (state[0].num_steps < pause), step, state
        )
        return _escape(objective, before, reached, margins, ridge) if separable else (reached, margins)

    no, yes = jnp.zeros((), bool), jnp.ones((), bool)
    begin = Minimum(start, jnp.full_like(ridge, jnp.inf), jnp.zeros((), jnp.int32), finite=yes, escaped=no)
    return jax.lax.while_loop(lambda state: unfinished(state[0]), search, (begin, objective.margins(start)))[0]


def _escape(
    objective: Objective, before: Minimum, reached: Minimum, margins: Array, ridge: Array
) -> tuple[Minimum, Array]:
    """Go on from `before` through `reached` for ever, if every observed margin has risen on the way."""
    way = reached.coordinates - before.coordinates
    risen = objective.change(way)
    slowest = objective.worst_margin(risen)
    searching = (reached.margin_change > MARGIN_TOLERANCE) & reached.finite
    escaped = searching & (slowest > 0) & jnp.isfinite(slowest) & (ridge == 0)
    missing = jnp.maximum(_ESCAPE_MARGIN - objective.worst_margin(margins), 0.0)
    further = jnp.where(escaped, missing / jnp.where(escaped, slowest, 1.0), 0.0)
    moved = reached._replace(coordinates=reached.coordinates + further * way, escaped=escaped)
    return moved, margins + further * risen


def step_in_ball(hessian: Array, gradient: Array, point: Array, radius: Array) -> Array:
    """Step to the minimiser of the quadratic model over ||point + step||_2 <= radius.

    In the eigenbasis ||w(mu)||^2 = sum (b_i / (lambda_i + mu))^2; Newton on 1/radius - 1/||w(mu)||
    from mu = 0 increases monotonically to the root.
    """
    eigenvalues, vectors = factorise.eigenvectors(hessian)
    floor = tolerances.scaled(1e-14, hessian.dtype) * eigenvalues[-1]
    # Without any information the model is flat; any positive curvature then says: stay.
    curvature = jnp.where(eigenvalues[-1] > 0, jnp.maximum(eigenvalues, floor), 1.0)
    # Along a direction without curvature the gradient is rounding: stay where we are.
    slope = jnp.where(eigenvalues > floor, vectors.T @ gradient, 0.0)
    pull = curvature * (vectors.T @ point) - slope

    def towards_root(_: int, multiplier: Array) -> Array:
        shrunk = pull / (curvature + multiplier)
        square = jnp.sum(shrunk**2)
        norm = jnp.sqrt(square)
        bend = jnp.sum(shrunk**2 / (curvature + multiplier))
        newton = (
            multiplier + jnp.where(bend > 0, square / jnp.where(bend > 0, bend, 1.0), 0.0) * (norm - radius) / radius
        )
        return jnp.where(norm > radius, newton, multiplier)

    multiplier = jax.lax.fori_loop(0, 30, towards_root, jnp.zeros_like(radius))
    bounded = vectors @ (pull / (curvature + multiplier)) - point
    # A curvature below the floor may be that of a coordinate on a small scale: scaled, it keeps its digits.
    rows, in_range = linalg.inverse_root(hessian)
    free = -rows.T @ (rows @ gradient)
    inside = jnp.linalg.norm(point + free) < radius
    return jnp.where(inside & jnp.all(in_range) & jnp.any(eigenvalues <= floor), free, bounded)
