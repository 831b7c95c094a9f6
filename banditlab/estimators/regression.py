"""Least squares of the margin on an observed reward difference: no ridge, and minimum change where data say nothing."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import losses
from banditlab.door import Cells, Params, Wins, door
from banditlab.environment import Environment
from banditlab.estimators.objective import build
from banditlab.numerics import linalg
from banditlab.numerics.compilation import LOOPS, inner

# Each pass solves again for what rounding left of the residual: the solution then is that of the data to rounding,
# although the normal equations alone would lose half the digits.
_PASSES = 3


class Regression(NamedTuple):
    """What `least_squares` returns.

    Attributes:
        params: (d,) the minimiser nearest to the start.
        spans: () bool, whether the observed differences span everything a policy depends on: then it is unique.
        finite: () bool, no number overflowed.
    """

    params: Array
    spans: Array
    finite: Array


@door
def least_squares(env: Environment, counts: Wins, target: Cells, start: Params) -> Regression:
    """argmin_theta sum counts (h_ij - target_ij)^2 nearest to `start`, h_ij = beta (theta'z + offset) the margin.

    Without ridge: the minimisers are an affine space, orthogonal to the observed differences z, and theta is its
    point of least Euclidean distance from `start`; nothing moves along what the data do not show. A direction counts
    as unseen if it has less than rank * 1e-14 of the information that its coordinates have (rounding).

    Args:
        env: the environment.
        counts: (S, A, A) non-negative weight of the difference target[x, i, j] = observed r(i) - r(j).
        target: (S, A, A), finite; read where counts > 0.
        start: (d,).

    Raises:
        ValueError: for arguments of the wrong shape.
    """
    return _solved(env, counts, target, start)


@inner(LOOPS)
def _solved(env: Environment, counts: Array, target: Array, start: Array) -> Regression:
    if env.rank == 0:
        return Regression(start, jnp.zeros((), bool), jnp.all(jnp.isfinite(start)))
    objective = build(env, counts, target)
    coordinates = jnp.einsum("dr,d->r", env.difference_basis, start)
    _, hessian = objective.derivatives(losses.distillation, objective.margins(coordinates))
    rows, in_range = linalg.inverse_root(hessian)
    root = jnp.where(in_range[:, None], rows, 0.0)
    unseen = _orthonormal(rows, ~in_range)

    def correct(_: int, moved: Array) -> Array:
        slope = objective.derivatives(losses.distillation, objective.margins(coordinates + moved))[0]
        step = -jnp.einsum("ki,kj,j->i", root, root, slope)
        return moved + step - jnp.einsum("ki,kj,j->i", unseen, unseen, step)

    moved = jax.lax.fori_loop(0, _PASSES, correct, jnp.zeros_like(coordinates))
    params = start + jnp.einsum("dr,r->d", env.difference_basis, moved)
    return Regression(params, jnp.all(in_range), jnp.all(jnp.isfinite(params)))


def _orthonormal(rows: Array, kept: Array) -> Array:
    """Orthonormal basis (n, n) of the span of the `kept` rows, by Gram-Schmidt; the other rows zero."""
    norms = jnp.sqrt(jnp.sum(rows**2, axis=1, keepdims=True))
    rows = jnp.where(kept[:, None], rows / jnp.where(norms > 0, norms, 1.0), 0.0)

    def settle(k: Array, basis: Array) -> Array:
        row = rows[k]
        for _ in range(2):  # once more removes what rounding left
            row = row - jnp.einsum("ki,kj,j->i", basis, basis, row)
        norm = jnp.sqrt(jnp.sum(row**2))
        return basis.at[k].set(row / jnp.where(norm > 0, norm, 1.0))

    return jax.lax.fori_loop(0, rows.shape[0], settle, jnp.zeros_like(rows))
