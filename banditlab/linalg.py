"""Small symmetric linear algebra that stays vectorised over a batch of seeds.

Under `vmap` a LAPACK call handles one tiny matrix at a time. For dimension <= 8 the factorisation below is
unrolled into scalar operations, which XLA vectorises over the batch (2 to 4 times faster); beyond that
unrolling only compiles longer and the library calls take over.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

UNROLL_LIMIT = 8

# Added to a matrix scaled to unit diagonal. It keeps a factorisation of a singular Hessian finite; an
# iteration that ends where the gradient vanishes is not biased by it (it is no ridge on the objective).
_JITTER = 1e-14


def solve_psd(matrix: Array, vector: Array) -> Array:
    """(n,) solution of matrix x = vector for a symmetric positive semi-definite (n, n) matrix.

    The matrix is scaled to unit diagonal first, so graded matrices lose no digits. Directions without any
    curvature (zero diagonal) get zero.
    """
    scale = _unit_diagonal_scale(matrix)
    scaled = scale[:, None] * matrix * scale[None, :]
    return scale * _solve_unit_diagonal(scaled, scale * vector)


def inverse_root(matrix: Array) -> tuple[Array, Array]:
    """Rows R (n, n) with R M R' = I on the range of a positive semi-definite M, and its rank mask (n,) bool.

    By elimination on M scaled to unit diagonal, the largest remaining pivot first, so that a graded matrix is not
    taken for a regular one. A pivot below n * 1e-14 (rounding) is a null direction: its row is the null vector.
    """
    size = matrix.shape[-1]
    scale = _unit_diagonal_scale(matrix)
    scaled = scale[:, None] * matrix * scale[None, :]
    tolerance = size * _JITTER

    def eliminate(_: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        # One column of Gaussian elimination on [M | I]: the rows become a triangular inverse, up to their order.
        reduced, rows, pivots, waiting = carry
        best = jnp.argmax(jnp.where(waiting, jnp.diagonal(reduced), -jnp.inf))
        pivot = reduced[best, best]
        waiting = waiting.at[best].set(False)
        alive = pivot > tolerance
        factor = jnp.where(waiting & alive, reduced[:, best] / jnp.where(alive, pivot, 1.0), 0.0)
        reduced = reduced - factor[:, None] * reduced[best][None, :]
        return reduced, rows - factor[:, None] * rows[best][None, :], pivots.at[best].set(pivot), waiting

    identity = jnp.eye(size, dtype=matrix.dtype)
    start = (scaled, identity, jnp.zeros_like(scale), jnp.ones(size, bool))
    _, rows, pivots, _ = jax.lax.fori_loop(0, size, eliminate, start)
    in_range = pivots > tolerance
    rows = rows * jnp.where(in_range, 1 / jnp.sqrt(jnp.where(in_range, pivots, 1.0)), 1.0)[:, None]
    return rows * jnp.where(scale > 0, scale, 1.0)[None, :], in_range


def _unit_diagonal_scale(matrix: Array) -> Array:
    diagonal = jnp.diagonal(matrix)
    present = diagonal > 0
    return jnp.where(present, 1 / jnp.sqrt(jnp.where(present, diagonal, 1.0)), 0.0)


def _solve_unit_diagonal(matrix: Array, vector: Array) -> Array:
    size = vector.shape[-1]
    if size == 0:
        return vector
    if size > UNROLL_LIMIT:
        off_diagonal = jnp.where(jnp.eye(size, dtype=bool), 1.0 + _JITTER, matrix)
        factor = jnp.linalg.cholesky(off_diagonal, symmetrize_input=False)
        return jax.scipy.linalg.cho_solve((factor, True), vector)
    lower: list[list[Array]] = []
    inverse_diagonal: list[Array] = []
    forward: list[Array] = []
    for i in range(size):
        row: list[Array] = []
        for j in range(i):
            partial = matrix[i, j] - sum((row[k] * lower[j][k] for k in range(j)), jnp.zeros_like(vector[0]))
            row.append(partial * inverse_diagonal[j])
        pivot = 1.0 + _JITTER - sum((entry * entry for entry in row), jnp.zeros_like(vector[0]))
        inverse_diagonal.append(jax.lax.rsqrt(jnp.maximum(pivot, _JITTER)))
        lower.append(row)
        partial = vector[i] - sum((row[k] * forward[k] for k in range(i)), jnp.zeros_like(vector[0]))
        forward.append(partial * inverse_diagonal[i])
    solution: list[Array] = [forward[0]] * size
    for i in reversed(range(size)):
        partial = forward[i] - sum((lower[k][i] * solution[k] for k in range(i + 1, size)), jnp.zeros_like(vector[0]))
        solution[i] = partial * inverse_diagonal[i]
    return jnp.stack(solution)
