"""Matrix factorisations that stay one LAPACK call per matrix under `vmap`.

A batched LAPACK kernel of jaxlib on CPU splits its batch over the intra-op thread pool and blocks the pool's own
thread until all parts are done; two such kernels that do not depend on each other then wait for each other for
ever on a machine with two threads. `sequential_vmap` keeps every call unbatched, which never blocks.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import sequential_vmap


@sequential_vmap
def cholesky(matrix: Array) -> Array:
    """Lower Cholesky factor (n, n); nan where the matrix is not positive definite."""
    return jnp.linalg.cholesky(matrix, symmetrize_input=False)


@sequential_vmap
def solve_lower(lower: Array, right: Array) -> Array:
    """L^{-1} right for right (n, k)."""
    return jax.scipy.linalg.solve_triangular(lower, right, lower=True)


@sequential_vmap
def solve_upper(lower: Array, right: Array) -> Array:
    """L'^{-1} right for right (n, k)."""
    return jax.scipy.linalg.solve_triangular(lower, right, lower=True, trans=1)


@sequential_vmap
def solve_factored(lower: Array, right: Array) -> Array:
    """(L L')^{-1} right for right (n,) or (n, k)."""
    return jax.scipy.linalg.cho_solve((lower, True), right)


@sequential_vmap
def orthonormal_columns(matrix: Array) -> Array:
    """Q (n, d) of the Householder QR factorisation."""
    return jnp.linalg.qr(matrix)[0]


@sequential_vmap
def eigenvectors(matrix: Array) -> tuple[Array, Array]:
    """Ascending eigenvalues (n,) and eigenvectors (n, n) of a symmetric matrix."""
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    return eigenvalues, vectors


@sequential_vmap
def eigenvalues(matrix: Array) -> Array:
    """Ascending eigenvalues (n,) of a symmetric matrix."""
    return jnp.linalg.eigvalsh(matrix)
