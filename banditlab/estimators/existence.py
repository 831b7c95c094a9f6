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
    quasi-separable data among it, is undetermined, as are margins so large that a label's slope underflows.
    """
    if loss is losses.dpo:
        product, _, _ = _proposition_3(objective, objective.margins(coordinates), gradient, hessian)
        exists = product < 0.5
        # Without the offset of a free softmax: it is the direction theta itself that separates.
        gaps = objective.change(coordinates)
        worst = objective.worst_margin(gaps)
        largest = jnp.max(jnp.where(objective.observed, jnp.abs(gaps), 0.0), initial=0.0)
        separable = jnp.isfinite(worst) & (worst > tolerances.at_least(_MARGIN_ROUNDING, gaps.dtype) * largest)
    else:
        rows, invertible = whitening(hessian)
        lost = _hidden(rows, objective.sizes(loss, objective.margins(coordinates), hessian))
        exists = invertible & (lost < 0.5) & losses.is_quadratic(loss)
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
    margins = objective.margins(coordinates)
    product, decrement, radius = _proposition_3(objective, margins, *objective.derivatives(losses.dpo, margins))
    safe = jnp.where(product < 1, product, 0.0)
    distance = jnp.where(radius > 0, -jnp.log1p(-safe) / jnp.where(radius > 0, radius, 1.0), decrement)
    return jnp.where(product < 1, distance, jnp.inf)


def _proposition_3(objective: Objective, margins: Array, gradient: Array, hessian: Array) -> tuple[Array, Array, Array]:
    """rad lam, lam = ||g||_{H^{-1}} and rad = max over observed pairs of ||beta z||_{H^{-1}}.

    lam has what rounding may hide of the gradient added, a sum whose terms are rounded; so is H, whose true value is at
    least 1 - lost of the computed one. The product is inf where nothing can be proved: a singular H, one that rounding
    may have made, or a label whose slope or curvature underflows.
    """
    rows, invertible = whitening(hessian)
    lost = _hidden(rows, objective.sizes(losses.dpo, margins, hessian))
    hidden = 8 * float(jnp.finfo(gradient.dtype).eps) * jnp.linalg.norm(rows) * objective.pull(losses.dpo, margins)
    decrement = jnp.linalg.norm(rows @ gradient) + hidden
    radius = jnp.sqrt(objective.largest_leverage(rows))
    provable = invertible & (lost < 0.5) & objective.resolved(losses.dpo, margins)
    held = jnp.where(provable, 1.0 - lost, 1.0)
    return jnp.where(provable, radius * decrement / held, jnp.inf), decrement, radius


def _hidden(rows: Array, sizes: Array) -> Array:
    """Bound on |R E R'| for an error E of H with |E_ij| <= 16 eps sqrt(sizes_i sizes_j).

    A sum of K terms in blocks is off by log2(K) roundings of their sizes, and each term is a product of three numbers:
    16 hold for 2^13 terms, and for more as long as roundings do not all go one way.
    """
    return 16 * float(jnp.finfo(rows.dtype).eps) * jnp.sum(jnp.square(jnp.abs(rows) @ jnp.sqrt(sizes)))
