"""Small symmetric linear algebra that stays vectorised over a batch of seeds.

Under `vmap` a LAPACK call handles one tiny matrix at a time. For dimension <= 8 the eliminations below are loops of
whole-table operations, which XLA vectorises over the batch (2 to 4 times faster, and quick to compile); beyond that
the library calls take over. Both are jitted: called eagerly, a loop would be compiled anew every time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.numerics import factorise, tolerances
from banditlab.numerics.compilation import LOOPS, inner

ELIMINATION_LIMIT = 8

# Added to a matrix scaled to unit diagonal. It keeps a factorisation of a singular Hessian finite; an
# iteration that ends where the gradient vanishes is not biased by it (it is no ridge on the objective).
_JITTER = 1e-14  # of float64; as many roundings in another precision


def _jitter(matrix: Array) -> float:
    return tolerances.scaled(_JITTER, matrix.dtype)


@inner(LOOPS)
def solve_psd(matrix: Array, vector: Array) -> Array:
    """(n,) solution of matrix x = vector for a symmetric positive semi-definite (n, n) matrix.

    The matrix is scaled to unit diagonal first, so graded matrices lose no digits. Directions without any
    curvature (zero diagonal) get zero.
    """
    scale = _unit_diagonal_scale(matrix)
    scaled = scale[:, None] * matrix * scale[None, :]
    return scale * _solve_unit_diagonal(scaled, scale * vector)


@inner(LOOPS)
def inverse_root(matrix: Array) -> tuple[Array, Array]:
    """Rows R (n, n) with R M R' = I on the range of a positive semi-definite M, and its rank mask (n,) bool.

    By elimination on M scaled to unit diagonal, the largest remaining pivot first, so that a graded matrix is not
    taken for a regular one. A pivot below n times 45 roundings (1e-14 in float64) is a null direction: its row
    is the null vector.
    """
    size = matrix.shape[-1]
    scale = _unit_diagonal_scale(matrix)
    scaled = scale[:, None] * matrix * scale[None, :]
    tolerance = size * _jitter(matrix)

    def eliminate(_: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        # One column of Gaussian elimination on [M | I]: its right half becomes a triangular inverse, up to order.
        # Masks, not indices: a gather or scatter a lane would cost more than the sums. What waits stays symmetric.
        table, pivots, waiting = carry
        diagonal = jnp.diagonal(table[:, :size])
        chosen = jnp.arange(size) == jnp.argmax(jnp.where(waiting, diagonal, -jnp.inf))
        row = jnp.sum(jnp.where(chosen[:, None], table, 0.0), axis=0)
        pivot = jnp.sum(jnp.where(chosen, diagonal, 0.0))
        waiting = waiting & ~chosen
        alive = pivot > tolerance
        factor = jnp.where(waiting & alive, row[:size] / jnp.where(alive, pivot, 1.0), 0.0)
        return table - factor[:, None] * row[None, :], jnp.where(chosen, pivot, pivots), waiting

    start = (
        jnp.concatenate([scaled, jnp.eye(size, dtype=matrix.dtype)], axis=1),
        jnp.zeros_like(scale),
        jnp.ones(size, bool),
    )
    table, pivots, _ = jax.lax.fori_loop(0, size, eliminate, start)
    rows = table[:, size:]
    in_range = pivots > tolerance
    rows = rows * jnp.where(in_range, 1 / jnp.sqrt(jnp.where(in_range, pivots, 1.0)), 1.0)[:, None]
    return rows * jnp.where(scale > 0, scale, 1.0)[None, :], in_range


def _unit_diagonal_scale(matrix: Array) -> Array:
    diagonal = jnp.diagonal(matrix)
    present = diagonal > 0
    return jnp.where(present, 1 / jnp.sqrt(jnp.where(present, diagonal, 1.0)), 0.0)


def _solve_unit_diagonal(matrix: Array, vector: Array) -> Array:
    size = vector.shape[-1]
    raised = matrix + _jitter(matrix) * jnp.eye(size, dtype=matrix.dtype)
    if size > ELIMINATION_LIMIT:
        return factorise.solve_factored(factorise.cholesky(raised), vector)
    index = jnp.arange(size)

    def eliminate(k: Array, table: Array) -> Array:
        # Gauss-Jordan on [M | v]; a positive definite matrix needs no pivoting.
        row = table[k] / jnp.maximum(table[k, k], _jitter(matrix))
        others = table - jnp.where(index == k, 0.0, table[:, k])[:, None] * row[None, :]
        return jnp.where((index == k)[:, None], row[None, :], others)

    return jax.lax.fori_loop(0, size, eliminate, jnp.concatenate([raised, vector[:, None]], axis=1))[:, -1]
