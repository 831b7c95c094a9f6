"""The checks that `banditlab.door` puts together: each holds one argument against one thing, and names what differs.

A check takes a name, a value and the sizes of symbols met so far; it returns the value, converted where that loses
nothing.
"""

from __future__ import annotations

import collections.abc
import os
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from banditlab import validation

# Symbol -> its number, and which argument gave it.
Dimensions = MutableMapping[str, tuple[int, str]]
Check = Callable[[str, Any, Dimensions], Any]

# Contexts, actions and features; there may be no parameter that matters (r), and no draw.
_NEVER_ZERO = ("S", "A", "d")


class Shape(NamedTuple):
    """The symbols of an array's axes, and a check (name, values) of what it holds; "..." first for any more axes."""

    axes: tuple[str, ...]
    values: Callable[[str, np.ndarray], None]


class Together(NamedTuple):
    """An array of any shape that broadcasts with the others of its call so marked, and a check of what it holds."""

    values: Callable[[str, np.ndarray], None]


class Values(NamedTuple):
    """A check (name, values) of a number."""

    values: Callable[[str, np.ndarray], object]


class Whole(NamedTuple):
    """A whole number of at least one that a 32-bit counter holds; it becomes an int."""


class OneKey(NamedTuple):
    """An array of one random key."""


def any_of(name: str, value: Any, dimensions: Dimensions, *, checks: tuple[Check, ...]) -> Any:
    errors = []
    for check in checks:
        try:
            return check(name, value, dimensions)
        except (TypeError, ValueError) as error:
            errors.append(str(error).partition("; got ")[0].removeprefix(f"{name} must be "))
    raise TypeError(f"{name} must be {' or '.join(errors)}; got {_short(value)}")


def number(name: str, value: Any, dimensions: Dimensions) -> Any:
    if isinstance(value, Tracer):
        return value
    if np.ndim(value) if isinstance(value, np.ndarray | jax.Array) else not isinstance(value, int | float | np.generic):
        raise ValueError(f"{name} must be a number; got {_short(value)}")
    validation.number(name, value)
    return value


def scalar_or_array(name: str, value: Any, dimensions: Dimensions) -> Any:
    if isinstance(value, int | float | np.generic):
        return number(name, value, dimensions)
    return array(name, value, dimensions, convert=True)


def array(name: str, value: Any, dimensions: Dimensions, *, convert: bool, nan: bool = False) -> Any:
    if isinstance(value, jax.Array):
        if not jnp.issubdtype(value.dtype, jnp.number) and value.dtype != bool:
            raise ValueError(f"{name} must be an array of numbers; got {value.dtype}")
        if jnp.issubdtype(value.dtype, jnp.complexfloating):
            raise ValueError(f"{name} must be an array of real numbers; got {value.dtype}")
        given = out = value
    else:
        given, held = validation.numbers(name, value), np.asarray(value)
        if isinstance(value, np.ndarray):
            out = given if held.dtype.kind == "f" else value  # one precision in all arguments
        else:
            out = jnp.asarray(held if held.dtype == bool else given) if convert else value
    if not nan and validation.is_concrete(given):
        validation.no_nan(name, given)
    return out


def shaped(name: str, value: Any, dimensions: Dimensions, *, shape: Shape, convert: bool) -> Any:
    value = array(name, value, dimensions, convert=convert, nan=True)  # which `values` sees to
    if not isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value)
    if shape.values not in (validation.flags, validation.indices):
        value = _measured(value)
    _fit(name, np.shape(value), shape.axes, dimensions)
    if validation.is_concrete(value):
        shape.values(name, np.asarray(value))
    return value


def _measured(value: Any) -> Any:
    """Truth values and NumPy's integers as the numbers that they stand for."""
    if value.dtype == bool or (isinstance(value, np.ndarray) and value.dtype.kind in "iu"):
        return value.astype(jnp.result_type(float))
    return value


def _fit(name: str, got: tuple[int, ...], axes: tuple[str, ...], dimensions: Dimensions) -> None:
    """Hold a shape against symbols; those without a number yet get it."""
    symbols = axes[1:] if axes[:1] == ("...",) else axes
    sizes = got[len(got) - len(symbols) :] if len(axes) > len(symbols) else got
    known = [dimensions.get(symbol) for symbol in symbols]
    fits = len(sizes) == len(symbols) and all(
        number is None or number[0] == size for number, size in zip(known, sizes, strict=True)
    )
    if fits:
        fits = len({*zip(symbols, sizes, strict=True)}) == len({*symbols})
    if not fits:
        wanted = [symbol if number is None else str(number[0]) for symbol, number in zip(symbols, known, strict=True)]
        others = [f"{symbol} is that of {of[1]}" for symbol, of in zip(symbols, known, strict=True) if of and of[1]]
        text = ", ".join([*axes[: len(axes) - len(symbols)], *wanted]) + ("," if len(axes) == 1 else "")
        raise ValueError(f"{name} must be ({text}){f', where {others[0]}' if others else ''}; got {got}")
    if any(size == 0 and symbol in _NEVER_ZERO for symbol, size in zip(symbols, sizes, strict=True)):
        raise ValueError(f"{name} must not be empty; got {got}")
    for symbol, size in zip(symbols, sizes, strict=True):
        dimensions.setdefault(symbol, (size, name))


def together(
    name: str, value: Any, dimensions: Dimensions, *, values: Callable[[str, np.ndarray], None], convert: bool
) -> Any:
    value = _measured(array(name, value, dimensions, convert=convert, nan=True))  # nan is seen to by `values`
    # The common shape so far, as axes counted from the last; a size of one takes any.
    for place, size in enumerate(reversed(np.shape(value))):
        symbol = f"axis -{place + 1}"
        known, of = dimensions.get(symbol, (1, name))
        if 1 not in (known, size) and known != size:
            raise ValueError(f"{name} must broadcast with {of}, of size {known} along {symbol}; got {np.shape(value)}")
        if known == 1:
            dimensions[symbol] = (size, name)
    if validation.is_concrete(value):
        values(name, np.asarray(value))
    return value


def whole(name: str, value: Any, dimensions: Dimensions) -> Any:
    return value if isinstance(value, Tracer) else validation.steps(name, value)


def valued(
    name: str, value: Any, dimensions: Dimensions, *, inner: Check | None, values: Callable[[str, np.ndarray], object]
) -> Any:
    value = value if inner is None else inner(name, value, dimensions)
    if np.ndim(value):
        raise ValueError(f"{name} must be a number; got an array of shape {np.shape(value)}")
    if validation.is_concrete(value):
        values(name, np.asarray(value))
    return value


def key(name: str, value: Any, dimensions: Dimensions) -> Any:
    if isinstance(value, jax.Array | np.ndarray):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0:
            return value
        if value.dtype == jnp.uint32 and value.shape == jax.random.key_data(jax.random.key(0)).shape:
            return jax.random.wrap_key_data(jnp.asarray(value))  # of jax.random.PRNGKey: the same draws
    raise TypeError(f"{name} must be a random key, as jax.random.key gives; got {_short(value)}")


def literal(name: str, value: Any, dimensions: Dimensions, *, options: tuple[Any, ...]) -> Any:
    return validation.choice(name, value, options)


def instance(name: str, value: Any, dimensions: Dimensions, *, kinds: tuple[type, ...], wanted: str) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {wanted}; got {_short(value)}")
    return value


def sequence(name: str, value: Any, dimensions: Dimensions, *, of: Check | None) -> Any:
    if isinstance(value, str | bytes) or not isinstance(value, collections.abc.Sequence | np.ndarray | jax.Array):
        raise TypeError(f"{name} must be a list; got {_short(value)}")
    return value if of is None else [of(f"{name}[{place}]", item, dimensions) for place, item in enumerate(value)]


def tuple_of(name: str, value: Any, dimensions: Dimensions, *, of: list[Check | None], number: int | None) -> Any:
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} must be a tuple; got {_short(value)}")
    if number is not None and len(value) != number:
        raise ValueError(f"{name} must be a tuple of {number}; got {len(value)}")
    checks = of * len(value) if number is None else of
    return tuple(
        item if check is None else check(f"{name}[{place}]", item, dimensions)
        for place, (item, check) in enumerate(zip(value, checks, strict=True))
    )


def function(name: str, value: Any, dimensions: Dimensions) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be callable; got {_short(value)}")
    return value


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str | bytes | os.PathLike):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:37]}..."
    if isinstance(value, np.ndarray | jax.Array):
        return f"an array of shape {value.shape}"
    return article(type(value).__name__)


def article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"
