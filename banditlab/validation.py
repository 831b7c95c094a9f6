"""Validation at the door: every failure is a ValueError that names the argument, what was wanted and what came."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

__all__ = [
    "above_zero",
    "array",
    "at",
    "choice",
    "count",
    "finite",
    "first",
    "flags",
    "index",
    "indices",
    "is_concrete",
    "no_nan",
    "non_negative",
    "number",
    "numbers",
    "positive",
    "semidefinite",
    "shape",
    "squarable",
    "steps",
    "tables",
    "whole",
]

_MOST_CELLS = 2**27
# Steps are counted in int32.
_COUNTER = 2**31
# Matrices typed by hand or stored as float32 are symmetric only this well, relative to their diagonal.
_MATRIX_TOLERANCE = 1e-6
_DOUBLE = float(np.finfo(np.float64).eps)
# Whole numbers beyond this are rounded by float64.
_EXACT = 2**53


def array(name: str, value: Any, shape: tuple[int | str, ...], *, minus_infinity: bool = False) -> np.ndarray:
    """`value` as float64 of the wanted shape (a string names a free size, not zero), finite unless -inf is allowed."""
    out = numbers(name, value)
    matches = out.ndim == len(shape) and all(
        shape.index(w) == axis or out.shape[shape.index(w)] == g if isinstance(w, str) else w == g
        for axis, (w, g) in enumerate(zip(shape, out.shape, strict=True))
    )
    if not matches:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must be ({wanted}); got {out.shape}")
    if 0 in out.shape:
        raise ValueError(f"{name} must not be empty; got {out.shape}")
    allowed = np.isfinite(out) | (np.isneginf(out) if minus_infinity else False)
    if not allowed.all():
        wanted = "finite or -inf" if minus_infinity else "finite"
        raise ValueError(f"{name} must be {wanted}; got {out[~allowed].flat[0]} at index {first(~allowed)}")
    return out


def numbers(name: str, value: Any) -> np.ndarray:
    """`value` as float64, of whatever shape: real numbers, neither text nor complex, that float64 holds exactly."""
    try:
        given = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of numbers; got {type(value).__name__}") from error
    if given.dtype.kind == "O" and given.size and all(isinstance(item, int) for item in given.flat):
        raise ValueError(f"{name} must hold numbers of at most 2^53 in size; got {_shown(max(given.flat, key=abs))}")
    if given.dtype.kind not in "biuf" and not jnp.issubdtype(given.dtype, jnp.floating):
        kind = type(value).__name__ if given.dtype.kind == "O" or given.ndim == 0 else f"{given.dtype.name} values"
        raise ValueError(f"{name} must be an array of numbers; got {kind}")
    out = given.astype(np.float64)
    if given.dtype.kind in "iu" and (rounded := (given > _EXACT) | (given < -_EXACT)).any():
        raise ValueError(f"{name} must hold numbers of at most 2^53 in size; got {given[rounded].flat[0]}")
    return out


def no_nan(name: str, values: Any) -> None:
    """Refuse nan."""
    values = np.asarray(values)
    if values.dtype.kind not in "biu" and (undefined := np.isnan(values)).any():
        wanted = "hold no nan" if values.ndim else "be a number"
        raise ValueError(f"{name} must {wanted}; got nan{at(undefined)}")


def finite(name: str, values: Any) -> None:
    """Refuse nan and infinities."""
    if not (fine := np.isfinite(values)).all():
        raise ValueError(f"{name} must be finite; got {np.asarray(values)[~fine].flat[0]}{at(~fine)}")


def non_negative(name: str, values: Any) -> None:
    """Refuse nan, infinities and negative numbers."""
    finite(name, values)
    if (low := np.asarray(values) < 0).any():
        raise ValueError(f"{name} must be non-negative; got {np.asarray(values)[low].min()}{at(low)}")


def above_zero(name: str, values: Any) -> None:
    """Refuse nan, infinities, zero and negative numbers."""
    given = np.asarray(values)
    if not (fine := np.isfinite(given) & (given > 0)).all():
        raise ValueError(f"{name} must be positive and finite; got {given[~fine].flat[0]}")
    if (vanishing := given < _smallest()).any():
        raise ValueError(f"{name} must be at least {_smallest():.2g}; got {given[vanishing].flat[0]}")


def squarable(name: str, values: Any) -> None:
    """Refuse what is not positive, or so large or small that its square leaves the range of the precision in use."""
    above_zero(name, values)
    given, low, high = np.asarray(values), _smallest() ** 0.5, float(jnp.finfo(jnp.result_type(float)).max) ** 0.5
    if not (fine := (given >= low) & (given <= high)).all():
        raise ValueError(f"{name} must be between {low:.2g} and {high:.2g}; got {given[~fine].flat[0]}")


def semidefinite(name: str, values: Any) -> None:
    """Refuse what is not finite, nor a symmetric matrix without negative eigenvalues, up to rounding."""
    finite(name, values)
    given = np.asarray(values, np.float64)
    if not given.size:
        return
    eps = np.finfo(np.asarray(values).dtype).eps if np.asarray(values).dtype.kind == "f" else 0.0
    # A graded matrix has a scale for every row; what cancellation leaves of zero is small against the largest entry.
    scale = np.sqrt(np.maximum(np.diagonal(given), 64 * len(given) * max(eps, _DOUBLE) * np.abs(given).max()))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = given / scale[:, None] / scale[None, :]
    if not (np.abs(scaled - scaled.T) <= _MATRIX_TOLERANCE).all():
        raise ValueError(f"{name} must be symmetric; got entries that differ across the diagonal")
    if (least := np.linalg.eigvalsh(scaled)[0]) < -_MATRIX_TOLERANCE * len(given):
        raise ValueError(f"{name} must have no negative eigenvalue; got {least:.3g}, scaled to unit diagonal")


def flags(name: str, values: Any) -> None:
    """Refuse what is not True or False."""
    if np.asarray(values).dtype != bool:
        raise ValueError(f"{name} must be True or False; got {np.asarray(values).dtype} values")


def indices(name: str, values: Any) -> None:
    """Refuse what is no whole number from 0 on."""
    non_negative(name, values)
    given = np.asarray(values)
    if given.dtype == bool or (given != np.floor(given)).any():
        raise ValueError(f"{name} must hold whole numbers; got {given.dtype} values")


def _smallest() -> float:
    """The least positive number that compiled code in the precision in use does not take for zero."""
    return float(jnp.finfo(jnp.result_type(float)).tiny)


def shape(name: str, value: Any, wanted: tuple[int, ...]) -> None:
    """Check the shape alone, which a traced value has too."""
    if np.shape(value) != wanted:
        raise ValueError(f"{name} must be {wanted}; got {np.shape(value)}")


def index(name: str, value: Any) -> int:
    """`value` as a whole number that fits 32 bits."""
    given = number(name, value)
    if not (0 <= given < 2**32 and given == math.floor(given)):
        raise ValueError(f"{name} must be a whole number from 0 to 2^32 - 1; got {value}")
    return int(given)


def positive(name: str, value: Any, *, zero: bool = False, infinite: bool = False) -> float:
    """`value` as a positive float (zero or inf only where allowed)."""
    given = number(name, value)
    low_enough = given >= 0 if zero else given > 0
    if not (low_enough and (infinite or math.isfinite(given))):
        wanted = ("non-negative" if zero else "positive") + ("" if infinite else " and finite")
        raise ValueError(f"{name} must be {wanted}; got {value}")
    if 0 < given < _smallest() and not zero:
        raise ValueError(f"{name} must be at least {_smallest():.2g}; got {value}")
    return given


def whole(name: str, value: Any, *, infinite: bool = False) -> float:
    """`value` as a whole number >= 1 (inf where allowed)."""
    given = number(name, value)
    if not (given >= 1 and (given == math.floor(given) if math.isfinite(given) else infinite)):
        raise ValueError(f"{name} must be a whole number of at least 1{' or inf' if infinite else ''}; got {value}")
    return given


def steps(name: str, value: Any) -> int:
    """`value` as a whole number of steps, at least 1, that a 32-bit counter holds."""
    given = whole(name, value)
    if given >= _COUNTER:
        raise ValueError(f"{name} must be below 2^31; got {value}")
    return int(given)


def count(name: str, value: float) -> float:
    """`value`, refused where the precision in use cannot count that far without rounding."""
    precision = jnp.result_type(float)
    limit = 2.0 ** (jnp.finfo(precision).nmant + 1)
    if math.isfinite(value) and value > limit:
        raise ValueError(
            f"{name} must be at most 2^{int(math.log2(limit))} to be counted exactly in {precision}; got {value}"
        )
    return value


def tables(name: str, cells: float) -> None:
    """Refuse sizes whose tables would hold more than 2^27 numbers, 1 GiB."""
    if not cells <= _MOST_CELLS:
        raise ValueError(f"{name} must make tables of at most 2^27 numbers; got {min(cells, 10**300):.3g}")


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """`value`, one of `options`."""
    if not (isinstance(value, str) and value in options):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}")
    return value


def is_concrete(tree: Any) -> bool:
    """Whether no leaf of `tree` is traced, so that values can be looked at."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def number(name: str, value: Any) -> float:
    """`value` as a float: a real number, no text, that float64 holds (a whole number exactly)."""
    if isinstance(value, str | bytes | complex | np.complexfloating | list | tuple) or np.ndim(value):
        raise ValueError(f"{name} must be a number; got {_shown(value)}")
    if isinstance(value, np.ndarray | jax.Array) and np.dtype(value.dtype).kind in "iu":
        value = int(value)
    try:
        given = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number; got {_shown(value)}") from error
    except OverflowError as error:
        raise ValueError(f"{name} must be a number that float64 holds; got {_shown(value)}") from error
    if isinstance(value, int | np.integer) and abs(given) >= _EXACT and int(given) != int(value):
        raise ValueError(f"{name} must be a number that float64 holds exactly; got {_shown(value)}")
    return given


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}... ({type(value).__name__})"


def at(mask: Any) -> str:
    """Where a mask is first True, in words; nothing for a single number."""
    return f" at index {first(mask)}" if np.ndim(mask) else ""


def first(mask: Any) -> tuple[int, ...]:
    """Index of the first True of a mask."""
    return tuple(int(i) for i in np.argwhere(mask)[0])


def __dir__() -> list[str]:
    return __all__
