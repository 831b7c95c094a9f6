"""Grouped-query attention over keys that may come from a cache."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def attend(query: Array, keys: Array, values: Array, allowed: Array, accumulate: jnp.dtype) -> Array:
    """softmax(q k / sqrt K) v, (B, T, H, K), each group of H / G query heads sharing one key-value head.

    Args:
        query: (B, T, H, K).
        keys, values: (B, N, G, K).
        allowed: (B, T, N) bool, which keys a query sees. A query that sees none gets an average: nobody reads it.
        accumulate: dtype of the scores and their softmax.
    """
    batch, length, heads, width = query.shape
    groups = keys.shape[2]
    grouped = query.reshape(batch, length, groups, heads // groups, width)
    scores = jnp.einsum("btgrk,bngk->bgrtn", grouped, keys, preferred_element_type=accumulate) * width**-0.5
    scores = jnp.where(allowed[:, None, None], scores, jnp.finfo(accumulate).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    return jnp.einsum("bgrtn,bngk->btgrk", weights, values).reshape(query.shape)


def causal(key_mask: Array) -> Array:
    """(B, N, N) bool: a query sees the keys up to its own column that are not padding, for key_mask (B, N)."""
    column = jnp.arange(key_mask.shape[1], dtype=jnp.int32)
    return (column[None] <= column[:, None])[None] & key_mask[:, None, :]
