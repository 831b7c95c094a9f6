"""Tolerances for rounding, stated for double precision, in the precision of an array."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

_DOUBLE = float(np.finfo(np.float64).eps)


def scaled(double: float, dtype: Any) -> float:
    """The same number of roundings of `dtype` as `double` is of float64; `double` itself there."""
    return double * (float(jnp.finfo(dtype).eps) / _DOUBLE)


def at_least(double: float, dtype: Any, roundings: int = 256) -> float:
    """`double`, a tolerance wide enough for float64, but never fewer than so many roundings of `dtype`."""
    return max(double, roundings * float(jnp.finfo(dtype).eps))


def smallest_gap(dtype: Any) -> float:
    """The relative gap below which rounding decides what is computed: 64 roundings."""
    return 64 * float(jnp.finfo(dtype).eps)
