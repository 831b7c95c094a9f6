"""Rotary positions, in the half-split convention of Llama, Qwen and GPT-NeoX checkpoints."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def angles(positions: Array, width: int, base: float, dtype: jnp.dtype) -> tuple[Array, Array]:
    """cos and sin of position * base^(-2 i / width), (B, T, 1, width / 2) each, for positions (B, T)."""
    exponents = jnp.arange(0, width, 2, dtype=dtype) / width
    turns = (
        positions.astype(dtype)[:, :, None, None] * jnp.power(jnp.asarray(base, dtype), -exponents)[None, None, None]
    )
    return jnp.cos(turns), jnp.sin(turns)


def rotate(heads: Array, cosine: Array, sine: Array) -> Array:
    """Turn coordinate i against i + width / 2 by its angle; coordinates beyond the rotated width stay.

    Args:
        heads: (B, T, H, K), K >= width; the result has its dtype.
        cosine, sine: (B, T, 1, width / 2) from `angles`.
    """
    half = cosine.shape[-1]
    first, second = heads[..., :half].astype(cosine.dtype), heads[..., half : 2 * half].astype(cosine.dtype)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate([*(part.astype(heads.dtype) for part in turned), heads[..., 2 * half :]], axis=-1)
