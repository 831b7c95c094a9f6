"""Does the unregularised optimum exist? Proofs read off at one point (Proposition 3), never a norm threshold."""

from __future__ import annotations

import enum

import jax.numpy as jnp
from jax import Array

from banditlab import losses, validation
from banditlab.door import Params, Wins, door
from banditlab.environment import Environment
from banditlab.estimators.objective import Objective, build, whitening
from banditlab.numerics import tolerances

# A margin counts as positive above this fraction of the largest one: rounding errs by about 1e-15 of it.
_MARGIN_ROUNDING = 1e-9


class Existence(enum.IntEnum):
    """What is proved about the unregularised optimum; an int8 in results."""

    exists = 0
    separable = 1
    undetermined = 2


def certify(objective: Objective, loss: losses.Loss, coordinates: Array, gradient: Array, hessian: Array) -> Array:
    """`Existence` () int8 from the unregularised gradient (r,) and Hessian (r, r) at coordinates (r,).

    Logistic loss: "exists" (and unique) if radius * decrement < 1/2 there, by Proposition 3; "separable" if theta'z
    is positive on every observed outcome. Squared losses: exists if the Hessian is invertible. Anything else,
    quasi-separable data among it, is undetermined.
    """
    rows, invertible = whitening(hessian)
    if loss is losses.dpo:
        decrement, radius = _proposition_3(objective, rows, gradient)
        # The gradient is a sum whose terms are rounded: what that may hide of it counts against the proof.
        margins = objective.margins(coordinates)
        hidden = 8 * float(jnp.finfo(gradient.dtype).eps) * jnp.linalg.norm(rows) * objective.pull(loss, margins)
        exists = invertible & ((decrement + hidden) * radius < 0.5)
        # Without the offset of a free softmax: it is the direction theta itself that separates.
        gaps = objective.change(coordinates)
        worst = objective.worst_margin(gaps)
        largest = jnp.max(jnp.where(objective.observed, jnp.abs(gaps), 0.0), initial=0.0)
        separable = jnp.isfinite(worst) & (worst > tolerances.at_least(_MARGIN_ROUNDING, gaps.dtype) * largest)
    else:
        exists = invertible & losses.is_quadratic(loss)
        separable = jnp.zeros_like(exists)
    verdict = jnp.where(separable, Existence.separable, jnp.where(exists, Existence.exists, Existence.undetermined))
    return verdict.astype(jnp.int8)


@door
def proximity(env: Environment, wins: Wins, params: Params) -> Array:
    """Proposition 3 at params (d,): the radius -log(1 - rad lam)/rad, (), +inf where rad lam >= 1.

    If finite, the logistic optimum of `wins` (S, A, A) exists, is unique, and lies within this distance of
    `params` in the norm of the Hessian of the sum of losses at `params`.
    """
    validation.shape("wins", wins, (env.num_contexts, env.num_actions, env.num_actions))
    validation.shape("params", params, (env.num_features,))
    if env.rank == 0:
        return jnp.full_like(env.beta, jnp.inf)
    objective = build(env, wins, None)
    coordinates = jnp.einsum("dr,d->r", env.difference_basis, params)
    gradient, hessian = objective.derivatives(losses.dpo, objective.margins(coordinates))
    rows, invertible = whitening(hessian)
    decrement, radius = _proposition_3(objective, rows, gradient)
    proved = invertible & (decrement * radius < 1)
    product = jnp.where(proved, decrement * radius, 0.0)
    distance = jnp.where(radius > 0, -jnp.log1p(-product) / jnp.where(radius > 0, radius, 1.0), decrement)
    return jnp.where(proved, distance, jnp.inf)


def _proposition_3(objective: Objective, rows: Array, gradient: Array) -> tuple[Array, Array]:
    """lam = ||g||_{H^{-1}} and rad = max over observed pairs of ||beta z||_{H^{-1}}, for whitening rows of H."""
    return jnp.linalg.norm(rows @ gradient), jnp.sqrt(objective.largest_leverage(rows))
