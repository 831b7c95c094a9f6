"""The library's door: `@door` holds a public function's arguments against their annotations and names what differs.

The annotations below carry a shape in the symbols of the environment (S contexts, A actions, d features, r rank) and
what must be true of the values, which is looked at where there are values: traced arguments have a shape alone.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import ArrayLike

from banditlab import validation

Function = TypeVar("Function", bound=Callable[..., Any])
Dimensions = Mapping[str, int]
Check = Callable[[str, Any, Dimensions], Any]


class Shape(NamedTuple):
    """The symbols of an array's axes, and a check (name, values) of what it holds."""

    axes: tuple[str, ...]
    values: Callable[[str, np.ndarray], None]


class _Key(NamedTuple):
    """An array of one random key."""


LogPolicy = Annotated[Array, Shape(("S", "A"), validation.log_probs)]
PairLaw = Annotated[Array, Shape(("S", "A", "A"), validation.law)]
OutcomeLaw = Annotated[Array, Shape(("S", "A", "A"), validation.partial_law)]
Wins = Annotated[Array, Shape(("S", "A", "A"), validation.non_negative)]
Params = Annotated[Array, Shape(("d",), validation.finite)]
Table = Annotated[Array, Shape(("S", "A"), validation.finite)]
Information = Annotated[Array, Shape(("r", "r"), validation.finite)]
Key = Annotated[Array, _Key()]


def door(function: Function) -> Function:
    """`function` with arguments held against its annotations; lists of numbers become arrays where one is annotated.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what came.
    """
    plan: list[_Plan] = []

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not plan:
            plan.append(_plan(function))
        names, rest, checks, environment = plan[0]
        given = dict(zip(names, args, strict=False))
        dimensions: Dimensions = {}
        if environment is not None:
            env = given.get(environment, kwargs.get(environment))
            if env is not None:
                checks[environment](environment, env, {})
                dimensions = _dimensions(environment, env)
        fitted = [
            _fitted(checks, names[i] if i < len(names) else rest, value, dimensions) for i, value in enumerate(args)
        ]
        return function(*fitted, **{k: _fitted(checks, k, value, dimensions) for k, value in kwargs.items()})

    return cast(Function, checked)


class _Plan(NamedTuple):
    """Names of positional parameters, of the rest, a check by name, and which argument is the environment."""

    names: tuple[str, ...]
    rest: str | None
    checks: dict[str, Check]
    environment: str | None


def _plan(function: Callable[..., Any]) -> _Plan:
    hints = typing.get_type_hints(function, include_extras=True)
    names, rest, checks, environment = [], None, {}, None
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            rest = name
        elif parameter.kind is parameter.VAR_KEYWORD:
            fields = typing.get_args(hint)[0] if typing.get_args(hint) else None
            hints_of_fields = typing.get_type_hints(fields, include_extras=True) if fields else {}
            checks |= {key: check for key, value in hints_of_fields.items() if (check := _check_of(value))}
            continue
        if (check := _check_of(hint)) is not None:
            checks[name] = check
        if getattr(hint, "__name__", "") == "Environment":
            environment = environment or name
    return _Plan(tuple(names), rest, checks, environment)


def _fitted(checks: dict[str, Check], name: str | None, value: Any, dimensions: Dimensions) -> Any:
    check = checks.get(name) if name else None
    return value if check is None else check(cast(str, name), value, dimensions)


def _dimensions(name: str, env: Any) -> Dimensions:
    shape = env.features.shape
    if len(shape) != 3:
        raise ValueError(
            f"{name} must be one environment, (S, A, d) its features; got leading axes: use jax.vmap for a batch"
        )
    return {"S": shape[0], "A": shape[1], "d": shape[2], "r": env.difference_basis.shape[-1]}


def _check_of(hint: Any) -> Check | None:
    """The check of an annotation; None for one that says nothing that can be looked at."""
    if isinstance(hint, TypeVar) or hint is Any:
        return None
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _of_annotated(*typing.get_args(hint))
    if origin is Literal:
        return functools.partial(_literal, options=typing.get_args(hint))
    if hint is Array or hint == ArrayLike or hint is np.ndarray:
        return functools.partial(_array, convert=hint is Array)
    if origin in (typing.Union, types.UnionType):
        return _of_union(typing.get_args(hint))
    if hint in (float, int):
        return _number
    if hint is str:
        return functools.partial(_instance, kinds=(str,), wanted="text")
    if hint is bool:
        return functools.partial(_instance, kinds=(bool, np.bool_), wanted="True or False")
    if origin is collections.abc.Callable:
        return _callable
    if origin is collections.abc.Sequence:
        return functools.partial(_sequence, of=_check_of(typing.get_args(hint)[0]))
    if inspect.isclass(hint) and (hint.__module__.startswith("banditlab.") or hint is jax.tree_util.Partial):
        if getattr(hint, "_is_protocol", False):
            return None
        return functools.partial(_instance, kinds=(hint,), wanted=_article(hint.__name__))
    return None


def _of_annotated(base: Any, *notes: Any) -> Check | None:
    inner = _check_of(base)
    for note in notes:
        if isinstance(note, Shape):
            return functools.partial(_shaped, shape=note)
        if isinstance(note, _Key):
            return _key
    return inner


def _of_union(members: tuple[Any, ...]) -> Check | None:
    """None is allowed where it is a member; otherwise the first member that has a check of numbers, or any instance."""
    optional, members = type(None) in members, tuple(m for m in members if m is not type(None))
    if any("SupportsArray" in repr(member) for member in members):
        check: Check | None = functools.partial(_array, convert=False)
    elif any(member is Array for member in members) and all(member in (Array, float, int, bool) for member in members):
        check = _scalar_or_array
    else:
        found = [_check_of(member) for member in members]
        checks = [one for one in found if one is not None]
        if len(checks) < len(found):
            return None
        if all(one is _number or member is bool for one, member in zip(checks, members, strict=True)):
            check = _number
        elif len(checks) == 1:
            check = checks[0]
        else:
            check = functools.partial(_any_of, checks=tuple(checks))
    if check is None or not optional:
        return check
    return lambda name, value, dimensions: None if value is None else check(name, value, dimensions)


def _any_of(name: str, value: Any, dimensions: Dimensions, *, checks: tuple[Check, ...]) -> Any:
    errors = []
    for check in checks:
        try:
            return check(name, value, dimensions)
        except (TypeError, ValueError) as error:
            errors.append(str(error).partition("; got ")[0].removeprefix(f"{name} must be "))
    raise TypeError(f"{name} must be {' or '.join(errors)}; got {_short(value)}")


def _number(name: str, value: Any, dimensions: Dimensions) -> Any:
    if isinstance(value, Tracer):
        return value
    if np.ndim(value) if isinstance(value, np.ndarray | jax.Array) else not isinstance(value, int | float | np.generic):
        raise ValueError(f"{name} must be a number; got {_short(value)}")
    validation.number(name, value)
    return value


def _scalar_or_array(name: str, value: Any, dimensions: Dimensions) -> Any:
    if isinstance(value, int | float | np.generic):
        return _number(name, value, dimensions)
    return _array(name, value, dimensions, convert=True)


def _array(name: str, value: Any, dimensions: Dimensions, *, convert: bool) -> Any:
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jnp.complexfloating):
            raise ValueError(f"{name} must be an array of real numbers; got {value.dtype}")
        return value
    given = validation.numbers(name, value)
    return value if isinstance(value, np.ndarray) or not convert else jnp.asarray(given)


def _shaped(name: str, value: Any, dimensions: Dimensions, *, shape: Shape) -> Any:
    value = _array(name, value, dimensions, convert=True)
    if dimensions:
        validation.shape(name, value, tuple(dimensions[axis] for axis in shape.axes))
    if validation.is_concrete(value):
        shape.values(name, np.asarray(value))
    return value


def _key(name: str, value: Any, dimensions: Dimensions) -> Any:
    if isinstance(value, jax.Array | np.ndarray):
        typed = jnp.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0
        if typed or (value.dtype == jnp.uint32 and value.ndim == 1):
            return value
    raise TypeError(f"{name} must be a random key, as jax.random.key gives; got {_short(value)}")


def _literal(name: str, value: Any, dimensions: Dimensions, *, options: tuple[Any, ...]) -> Any:
    return validation.choice(name, value, options)


def _instance(name: str, value: Any, dimensions: Dimensions, *, kinds: tuple[type, ...], wanted: str) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {wanted}; got {_short(value)}")
    return value


def _sequence(name: str, value: Any, dimensions: Dimensions, *, of: Check | None) -> Any:
    if isinstance(value, str | bytes) or not isinstance(value, collections.abc.Sequence | np.ndarray | jax.Array):
        raise TypeError(f"{name} must be a list; got {_short(value)}")
    return value if of is None else [of(f"{name}[{place}]", item, dimensions) for place, item in enumerate(value)]


def _callable(name: str, value: Any, dimensions: Dimensions) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be callable; got {_short(value)}")
    return value


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str | bytes | os.PathLike):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:37]}..."
    if isinstance(value, np.ndarray | jax.Array):
        return f"an array of shape {value.shape}"
    return _article(type(value).__name__)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"
