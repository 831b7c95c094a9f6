"""Carathéodory reduction: the same moment matrix and group masses from few atoms (Proposition 6's support bound)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.designs.interior_point import Constraint
from banditlab.numerics import factorise, tolerances

# Singular directions of the constraint Gram matrix, scaled to unit diagonal, below this are rounding.
_NULL = 1e-11


def support_bound(size: int, num_groups: int) -> int:
    """d(d+1)/2 entries of the moment matrix and one mass per group: more atoms are linearly dependent."""
    return size * (size + 1) // 2 + num_groups


def reduce_support(weights: Array, rows: Array, constraint: Constraint, bound: int) -> Array:
    """Weights (n,), at most `bound` of them positive, with the same sum of w rr' and the same group masses.

    Args:
        weights: (n,), zero in unused slots.
        rows: (n, d) atoms r in coordinates where the moment matrix is well conditioned.
        constraint: the groups; its columns are zero in unused slots.
        bound: at least `support_bound`.
    """
    used = weights > 0
    gram = (rows @ rows.T) ** 2 + constraint.membership.T @ constraint.membership
    root = jnp.sqrt(jnp.where(used, jnp.diagonal(gram), 1.0))
    identity = jnp.eye(weights.shape[0], dtype=gram.dtype)
    gram = jnp.where(used[:, None] & used[None, :], gram / (root[:, None] * root[None, :]), identity)
    eigenvalues, vectors = factorise.eigenvectors(gram)
    null = jnp.where(
        used[:, None] & (eigenvalues < tolerances.at_least(_NULL, eigenvalues.dtype))[None, :],
        vectors / root[:, None],
        0.0,
    )

    def remove(step: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        # Walk along a null vector until a weight vanishes, then clear that atom from the other null vectors.
        weights, null = carry
        move = null[:, step]
        move = move * jnp.where(jnp.max(move) >= jnp.max(-move), 1.0, -1.0)
        ratio = jnp.where((move > 0) & (weights > 0), weights / jnp.where(move > 0, move, 1.0), jnp.inf)
        out = jnp.argmin(ratio)
        length = ratio[out]
        wanted = (jnp.sum(weights > 0) > bound) & jnp.isfinite(length)
        pivot = jnp.where(wanted, null[out, step], 1.0)
        cleared = (null - null[:, step][:, None] * (null[out] / pivot)[None, :]).at[out].set(0.0)
        shorter = jnp.maximum(weights - jnp.where(wanted, length, 0.0) * move, 0.0).at[out].set(0.0)
        return jnp.where(wanted, shorter, weights), jnp.where(wanted, cleared, null)

    return jax.lax.fori_loop(0, weights.shape[0], remove, (weights, null))[0]
