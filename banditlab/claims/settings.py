"""Fields of a configuration set from texts: ``num_seeds=4096``, ``sizes=[100, 200]``, ``setup.noise=0.5``."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

from banditlab.claims.instances import Instance
from banditlab.errors import shown

_TOO_LARGE = 2**63
_NUMBERS = {"inf": float("inf"), "-inf": float("-inf")}


def changed(config: Any, settings: Mapping[str, str]) -> Any:
    """``config`` with each field named in ``settings`` replaced; a dot leads into a configuration inside it.

    Raises ValueError naming the field, its type and the fields there are.
    """
    for name, text in settings.items():
        config = _replaced(config, name, name.split("."), text)
    return config


def spelled(config: Any, base: Any, names: Iterable[str]) -> dict[str, str]:
    """Name -> text of the fields ``names`` of ``config`` whose values are not those of ``base``.

    One configuration has one spelling: fields come in their order in the class, numbers in their shortest form.
    """
    places = {name: tuple(_places(config, name)) for name in names}
    values = {name: value_of(config, name) for name in sorted(places, key=lambda name: places[name])}
    return {name: text_of(value) for name, value in values.items() if value != value_of(base, name)}


def fields_of(config: Any, within: str = "") -> Iterator[tuple[str, str]]:
    """Name and type of every field that can be set; those of a configuration inside it by a dotted name."""
    kinds = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{within}{field.name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, Instance):
            yield from fields_of(value, f"{name}.")
        else:
            yield name, _spelled(kinds[field.name])


def value_of(config: Any, name: str) -> Any:
    """The value of a field by its dotted name."""
    return reduce(getattr, name.split("."), config)


def _places(config: Any, name: str) -> Iterator[int]:
    """Where each part of a dotted name stands in its class."""
    for part in name.split("."):
        yield [field.name for field in dataclasses.fields(config)].index(part)
        config = getattr(config, part)


def text_of(value: Any) -> str:
    """A value as it is typed; `changed` reads it back."""
    if isinstance(value, (tuple, list)):
        return f"[{','.join(repr(item) if isinstance(item, str) else text_of(item) for item in value)}]"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return repr(value) if isinstance(value, float) else str(value)


def _replaced(config: Any, name: str, path: list[str], text: str) -> Any:
    types_of = typing.get_type_hints(type(config))
    fields = [field.name for field in dataclasses.fields(config)]
    first, *rest = path
    if first not in fields or (rest and not dataclasses.is_dataclass(getattr(config, first))):
        near = difflib.get_close_matches(first, fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(f"{field} ({_spelled(types_of[field])})" for field in fields)
        raise ValueError(f"--set {name}: there is no such field{hint}; fields: {known}")
    if rest:
        value = _replaced(getattr(config, first), name, rest, text)
    else:
        try:
            value = _read(text, types_of[first])
        except ValueError as error:
            wanted = _spelled(types_of[first])
            raise ValueError(f"--set {name}: {first} must be {wanted}; got {shown(text)}{_reason(error)}") from error
    try:
        return dataclasses.replace(config, **{first: value})
    except ValueError as error:
        raise ValueError(f"--set {name}: {error}") from error


def _reason(error: ValueError) -> str:
    return f" ({error})" if str(error) else ""


def _read(text: str, kind: Any) -> Any:
    """``text`` as a value of the type ``kind``; ValueError otherwise."""
    if kind is str:
        return text
    if Instance in (kind, *typing.get_args(kind)):
        return None if text == "None" and kind is not Instance else Instance.parse(text)
    try:
        value = _NUMBERS[text] if text in _NUMBERS else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    return _typed(value, kind)


def _typed(value: Any, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            try:
                return _typed(value, one)
            except ValueError:
                continue
        raise ValueError
    if origin is typing.Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        repeated = len(arguments) == 2 and arguments[1] is Ellipsis
        if not repeated and len(value) != len(arguments):
            raise ValueError(f"{len(arguments)} values are wanted")
        kinds = [arguments[0]] * len(value) if repeated else arguments
        return tuple(_typed(item, one) for item, one in zip(value, kinds, strict=True))
    if kind is float and type(value) in (int, float):
        return _float(value)
    if kind is float and isinstance(value, str) and value in _NUMBERS:
        return _NUMBERS[value]
    if kind is int and type(value) is int and abs(value) >= _TOO_LARGE:
        raise ValueError("whole numbers end at 2^63")
    if kind in (int, bool, str) and type(value) is kind:
        return value
    if kind is type(None) and value is None:
        return None
    raise ValueError


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("no float is as large") from error


def _spelled(kind: Any) -> str:
    if Instance in (kind, *typing.get_args(kind)):
        return "an instance"
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")
