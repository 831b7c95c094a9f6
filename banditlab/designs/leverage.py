"""Whitened features, moment matrices and leverages, all from per-context tables: never a list of differences."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from banditlab.numerics import factorise


def whiten(features: Array, allowed: Array) -> Array:
    """(S, A, d) coordinates in which the centred features of the allowed nodes (S, A) are orthonormal columns.

    Designs and leverages do not depend on the coordinates, but their rounding does: a Householder QR of the
    centred features is exact under any scaling of the columns, and leaves every matrix met later well
    conditioned however nearly singular the features are. Nodes that are not allowed get zeros.
    """
    weights = jnp.where(allowed, 1.0, 0.0).astype(features.dtype)
    counts = jnp.maximum(jnp.sum(weights, axis=1), 1.0)
    means = jnp.einsum("xa,xad->xd", weights, features) / counts[:, None]
    centred = jnp.where(allowed[..., None], features - means[:, None, :], 0.0)
    return factorise.orthonormal_columns(centred.reshape(-1, features.shape[-1])).reshape(features.shape)


def pair_moment(features: Array, pair_law: Array) -> Array:
    """M = E zz' over a symmetric pair law (S, A, A), in Laplacian form: 2 phi'(diag(K1) - K) phi, (d, d)."""
    smoothed = jnp.einsum("xab,xbd->xad", pair_law, features)
    weighted = jnp.sum(pair_law, axis=2)[..., None] * features - smoothed
    return 2 * jnp.einsum("xad,xae->de", features, weighted)


def in_metric(moment: Array, features: Array) -> Array:
    """(..., d) features in coordinates where the positive definite moment matrix (d, d) is the identity."""
    lower = factorise.cholesky(moment)
    flat = features.reshape(-1, features.shape[-1])
    return factorise.solve_lower(lower, flat.T).T.reshape(features.shape)


def gram_table(left: Array, right: Array) -> Array:
    """(S, A, A) of (left_i - left_j)'(right_i - right_j) from the Gram table: q_ii + q_jj - q_ij - q_ji."""
    gram = jnp.einsum("xad,xbd->xab", left, right)
    square = jnp.einsum("xaa->xa", gram)
    return square[:, :, None] + square[:, None, :] - gram - jnp.swapaxes(gram, 1, 2)
