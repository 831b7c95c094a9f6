"""Uniform numbers by SplitMix64: output i of a stream is mix(base + i gamma), a bijective hash of a counter.

Threefry, JAX's own, costs thirty times as much inside a loop of small steps, and a second to compile; every batch of
a run is such a step. SplitMix64 (Steele, Lea and Flood 2014) passes the usual batteries of tests.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def uniform(key: Array, index: Array, shape: tuple[int, ...]) -> Array:
    """Numbers in [0, 1) with 53 random bits, of stream `index` of the run with `key` (2,) uint32.

    Without 64-bit types (BANDITLAB_PRECISION=float32), Threefry draws instead.
    """
    if jnp.result_type(float) != jnp.float64:
        return jax.random.uniform(jax.random.wrap_key_data(key + index.astype(jnp.uint32), impl="threefry2x32"), shape)
    words = key.astype(jnp.uint64)
    own = (words[0] << jnp.uint64(32)) | words[1]
    base = outputs(own, index.astype(jnp.uint64) + jnp.uint64(1))
    bits = outputs(base, jnp.arange(1, math.prod(shape) + 1, dtype=jnp.uint64))
    return ((bits >> jnp.uint64(11)).astype(jnp.float64) * 2.0**-53).reshape(shape)


def outputs(seed: Array, count: Array) -> Array:
    """uint64 outputs number `count` (from 1) of SplitMix64 started at `seed`."""
    state = seed + count * jnp.uint64(_GAMMA)
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        state = (state ^ (state >> jnp.uint64(shift))) * jnp.uint64(multiplier)
    return state ^ (state >> jnp.uint64(31))
