"""Typed values of the command line: what cannot be used is refused in one line that names the argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec

from banditlab.errors import CommandLineError, shown, unknown


def flag(name: str) -> str:
    """The option of a field: --num-rounds for num_rounds."""
    return "--" + name.replace("_", "-")


def one_of(argument: str, choices: Sequence[str], default: str = "") -> PrimitiveConstructorSpec[Any]:
    """A string out of ``choices``, dashes and underscores alike; ``default`` is what the help calls None."""
    shown = [choice.replace("_", "-") for choice in choices]

    def parse(word: str) -> str:
        name = word.replace("_", "-")
        if name not in shown:
            raise CommandLineError(unknown(argument, word, shown))
        return choices[shown.index(name)]

    return _spec("{" + ",".join(shown) + "}", parse, default, lambda value: value.replace("_", "-"))


def real(
    argument: str, default: str = "", *, positive: bool = False, zero: bool = False
) -> PrimitiveConstructorSpec[Any]:
    """A number; with ``positive`` a finite one above zero, with ``zero`` one that is zero too.

    Without either, its range is the library's to check.
    """
    wanted = "a finite number, at least zero" if zero else "a finite number, positive" if positive else "a number"

    def fits(number: float) -> bool:
        return not (positive or zero) or (math.isfinite(number) and (number > 0 or (zero and number == 0)))

    return _spec("FLOAT", _read(argument, float, wanted, fits), default, repr)


def whole(argument: str, default: str = "", *, largest: int = 0) -> PrimitiveConstructorSpec[Any]:
    """A whole number; with ``largest`` one from 1 to it, without, its range is the library's to check."""
    wanted = f"a whole number from 1 to {largest}" if largest else "a whole number"
    return _spec("INT", _read(argument, int, wanted, lambda number: not largest or 1 <= number <= largest), default)


def truth(argument: str, default: str = "") -> PrimitiveConstructorSpec[Any]:
    """true or false."""
    words = {"true": True, "false": False}
    return _spec("{true,false}", _read(argument, words.__getitem__, "true or false"), default)


def place(argument: str, default: str = "None", *, kind: str = "FOLDER") -> PrimitiveConstructorSpec[Any]:
    """The path of a FOLDER or FILE; no empty word, which would be the current folder."""

    def kept(word: str) -> Path:
        if not word.strip() or "\0" in word:
            raise ValueError
        return Path(word)

    what = "a folder" if kind == "DIR" else f"a {kind.lower()}"
    return _spec(kind, _read(argument, kept, f"the path of {what}"), default)


def settings(words: Sequence[str]) -> Mapping[str, str]:
    """Field -> text of ``field=text``; CommandLineError for a word of another form, and for a field set twice."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise CommandLineError(f"--set must be FIELD=VALUE; got {shown(word)}")
        if name.strip() in found:
            both = f"{shown(found[name.strip()])} and {shown(text)}"
            raise CommandLineError(f"--set {name.strip()} must come once; got {both}")
        found[name.strip()] = text.strip()
    return found


def _read(
    argument: str, kind: Callable[[str], Any], wanted: str, fits: Callable[[Any], bool] = lambda value: True
) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        try:
            value = kind(word)
        except (ValueError, KeyError):
            value = None
        if value is None or not fits(value):
            raise CommandLineError(f"{argument} must be {wanted}; got {shown(word)}")
        return value

    return parse


def _spec(
    metavar: str, parse: Callable[[str], Any], default: str, spelled: Callable[[Any], str] = str
) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda value: value is None or isinstance(value, (str, int, float, Path)),
        str_from_instance=lambda value: [default if value is None else spelled(value)],
    )
