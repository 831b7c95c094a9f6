"""The library's door: `@door` holds a public function's arguments against their annotations and names what differs.

The annotations below carry a shape and what must be true of the values, which is looked at where there are values:
traced arguments have a shape alone. The symbols of a shape are those of the environment (S contexts, A actions, d
features, r rank), or others, which then mean the same number in all arguments of one call. No argument holds nan.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import door_checks, law_checks, validation
from banditlab.door_checks import Check, Dimensions, OneKey, Shape, Together, Values, Whole

# What JAX raises where code asks a traced array for its values.
_NEED_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)

Function = TypeVar("Function", bound=Callable[..., Any])

LogPolicy = Annotated[Array, Shape(("S", "A"), law_checks.log_probs)]
PairLaw = Annotated[Array, Shape(("S", "A", "A"), law_checks.law)]
OutcomeLaw = Annotated[Array, Shape(("S", "A", "A"), law_checks.partial_law)]
Wins = Annotated[Array, Shape(("S", "A", "A"), validation.non_negative)]
Params = Annotated[Array, Shape(("d",), validation.finite)]
Table = Annotated[Array, Shape(("S", "A"), validation.finite)]
Information = Annotated[Array, Shape(("r", "r"), validation.semidefinite)]
Key = Annotated[Array, OneKey()]
Margins = Annotated[Array, Together(validation.finite)]
Cells = Annotated[Array, Shape(("S", "A", "A"), validation.finite)]
Square = Annotated[Array, Shape(("n", "n"), validation.semidefinite)]
Flag = Annotated[Array, Shape((), validation.flags)]
Scalar = Annotated[Array, Shape((), validation.finite)]
AnyTable = Annotated[Array, Shape(("S", "A"), validation.no_nan)]
Draws = Annotated[Array, Shape(("S", "k"), validation.indices)]
PerContext = Annotated[Array, Shape(("S",), validation.no_nan)]
Finite = Annotated[float, Values(validation.finite)]
Number = Annotated[float | Array, Values(validation.no_nan)]
Positive = Annotated[float | Array, Values(validation.above_zero)]
Squarable = Annotated[float | Array, Values(validation.squarable)]
NonNegative = Annotated[float | Array, Values(validation.non_negative)]
Count = Annotated[int, Whole()]


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
                dimensions |= {symbol: (size, "") for symbol, size in _dimensions(environment, env).items()}
        fitted = [
            _fitted(checks, names[i] if i < len(names) else rest, value, dimensions) for i, value in enumerate(args)
        ]
        named = {k: _fitted(checks, k, value, dimensions) for k, value in kwargs.items()}
        try:
            return function(*fitted, **named)
        except _NEED_VALUES as error:
            traced = [k for k, value in (given | kwargs).items() if not validation.is_concrete(value)]
            if not traced:
                raise
            raise TypeError(
                f"{', '.join(traced)} must have values; got traced ones: call {function.__name__} outside of jit, vmap "
                "and grad"
            ) from error

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


def _dimensions(name: str, env: Any) -> Mapping[str, int]:
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
        return functools.partial(door_checks.literal, options=typing.get_args(hint))
    if hint is Array or hint == ArrayLike or hint is np.ndarray:
        return functools.partial(door_checks.array, convert=hint is Array)
    if origin in (typing.Union, types.UnionType):
        return _of_union(typing.get_args(hint))
    if hint in (float, int):
        return door_checks.number
    if hint is str:
        return functools.partial(door_checks.instance, kinds=(str,), wanted="text")
    if hint is bool:
        return functools.partial(door_checks.instance, kinds=(bool, np.bool_), wanted="True or False")
    if origin is collections.abc.Callable:
        return door_checks.function
    if origin is tuple:
        parts = typing.get_args(hint)
        number, of = None if parts[-1:] == (Ellipsis,) else len(parts), [p for p in parts if p is not Ellipsis]
        return functools.partial(door_checks.tuple_of, of=[_check_of(part) for part in of], number=number)
    if origin in (dict, collections.abc.Mapping):
        return functools.partial(door_checks.instance, kinds=(collections.abc.Mapping,), wanted="a dict")
    if origin is collections.abc.Sequence:
        return functools.partial(door_checks.sequence, of=_check_of(typing.get_args(hint)[0]))
    if inspect.isclass(hint) and (hint.__module__.startswith("banditlab.") or hint is jax.tree_util.Partial):
        if getattr(hint, "_is_protocol", False):
            return None
        return functools.partial(door_checks.instance, kinds=(hint,), wanted=door_checks.article(hint.__name__))
    return None


def _of_annotated(base: Any, *notes: Any) -> Check | None:
    inner = _check_of(base)
    for note in notes:
        if isinstance(note, Shape):
            return functools.partial(door_checks.shaped, shape=note, convert=base is Array)
        if isinstance(note, Together):
            return functools.partial(door_checks.together, values=note.values, convert=base is Array)
        if isinstance(note, Values):
            return functools.partial(door_checks.valued, inner=inner, values=note.values)
        if isinstance(note, Whole):
            return door_checks.whole
        if isinstance(note, OneKey):
            return door_checks.key
    return inner


def _of_union(members: tuple[Any, ...]) -> Check | None:
    """None is allowed where it is a member; otherwise the first member that has a check of numbers, or any instance."""
    optional, members = type(None) in members, tuple(m for m in members if m is not type(None))
    if any("SupportsArray" in repr(member) for member in members):
        check: Check | None = functools.partial(door_checks.array, convert=False)
    elif any(member is Array for member in members) and all(member in (Array, float, int, bool) for member in members):
        check = door_checks.scalar_or_array
    else:
        found = [_check_of(member) for member in members]
        checks = [one for one in found if one is not None]
        if len(checks) < len(found):
            return None
        if all(one is door_checks.number or member is bool for one, member in zip(checks, members, strict=True)):
            check = door_checks.number
        elif len(checks) == 1:
            check = checks[0]
        else:
            check = functools.partial(door_checks.any_of, checks=tuple(checks))
    if check is None or not optional:
        return check
    return lambda name, value, dimensions: None if value is None else check(name, value, dimensions)
