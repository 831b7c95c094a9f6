"""Values that no claim can be computed with, refused before anything runs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from banditlab.claims.instances import REPLACES, Instance
from banditlab.claims.settings import text_of, value_of

# Numbers that are positive, and others that are at least zero, by the last part of their field's name.
_POSITIVE = re.compile(r"num_\w+|(\w+_)?(betas?|pairs|labels|seeds|rounds|batch(es)?)")
_NOT_NEGATIVE = re.compile(r"(\w+_)?(ridges?|seed)")


def require_sensible(config: Any, presets: Iterable[Any], names: Iterable[str]) -> None:
    """ValueError, naming the field, for one of ``names`` that no claim can be computed with.

    Counts are at least 1 where every preset's are, numbers are finite where every preset's are, lists are not empty
    where no preset's is, temperatures are positive. A field that a chosen instance replaces cannot be set beside it.
    """
    listed = list(presets)
    for name in names:
        value, usual = value_of(config, name), [value_of(preset, name) for preset in listed]
        wrong = _wrong(name.split(".")[-1], value, usual)
        if wrong:
            raise ValueError(f"--set {name}: {name} must be {wrong}; got {text_of(value)}")
        if isinstance(value, Instance):
            _require_environment(name, value)
    for field in dataclasses.fields(config):
        replaced = sorted(set(field.metadata.get(REPLACES, ())) & set(names))
        if replaced and getattr(config, field.name) is not None:
            raise ValueError(
                f"--set {replaced[0]} has no effect beside {field.name}, which replaces it: set one of them"
            )


def _require_environment(name: str, instance: Instance) -> None:
    try:
        instance.environment()
    except Exception as error:  # of whatever kind the factory's arithmetic raises
        raise ValueError(f"--set {name}: {instance} is no environment: {error or type(error).__name__}") from error


def _wrong(name: str, value: Any, usual: list[Any]) -> str | None:
    """What ``value`` must be and is not, or None."""
    if isinstance(value, tuple) and not value and all(usual):
        return "a list that is not empty"
    numbers, others = list(_numbers(value)), [number for preset in usual for number in _numbers(preset)]
    if any(math.isinf(number) for number in numbers) and not any(math.isinf(number) for number in others):
        return "finite"
    least = min(others, default=-math.inf)
    whole = all(isinstance(number, int) for number in (*numbers, *others))
    if whole and least >= 1 and any(number < 1 for number in numbers):
        return "at least 1"
    if _POSITIVE.fullmatch(name) and least > 0 and any(number <= 0 for number in numbers):
        return "positive"
    if (_NOT_NEGATIVE.fullmatch(name) or whole) and least >= 0 and any(number < 0 for number in numbers):
        return "at least 0"
    return None


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value, also in tuples of tuples."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
