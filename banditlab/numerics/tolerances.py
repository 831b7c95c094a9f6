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


def hidden(dtype: Any) -> float:
    """What rounding may hide of a relative gap: 64 roundings, and nothing of the gaps that float64 is asked for."""
    return 0.0 if jnp.dtype(dtype) == jnp.float64 else 64 * float(jnp.finfo(dtype).eps)
