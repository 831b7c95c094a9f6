"""Typed arguments of the command: presets, fields that are set, numbers; each refused in one line."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec

from banditlab.errors import CommandLineError, unknown


def one_of(argument: str, choices: Sequence[str]) -> PrimitiveConstructorSpec[str]:
    """A string out of ``choices``."""

    def parse(word: str) -> str:
        if word not in choices:
            raise CommandLineError(unknown(argument, word, choices))
        return word

    return _spec("{" + ",".join(choices) + "}", parse, str)


def real(argument: str, *, zero: bool = False) -> PrimitiveConstructorSpec[float]:
    """A finite number above zero, or zero too where allowed."""

    def parse(word: str) -> float:
        try:
            number = float(word)
        except ValueError:
            number = float("nan")
        if not (0 < number < float("inf") or (zero and number == 0)):
            wanted = "at least zero" if zero else "positive"
            raise CommandLineError(f"{argument} must be a finite number, {wanted}; got {word!r}")
        return number

    return _spec("FLOAT", parse, repr)


def count(argument: str, largest: int) -> PrimitiveConstructorSpec[int]:
    """A whole number from 1 to ``largest``."""

    def parse(word: str) -> int:
        if not (word.isdecimal() and 1 <= int(word) <= largest):
            raise CommandLineError(f"{argument} must be a whole number from 1 to {largest}; got {word!r}")
        return int(word)

    return _spec("INT", parse, str)


def settings(words: Sequence[str]) -> Mapping[str, str]:
    """Field -> text of ``field=text``; CommandLineError for a word of another form, and for a field set twice."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise CommandLineError(f"--set must be FIELD=VALUE; got {word!r}")
        if name.strip() in found:
            raise CommandLineError(f"--set {name.strip()} must come once; got {found[name.strip()]!r} and {text!r}")
        found[name.strip()] = text.strip()
    return found


def _spec(metavar: str, parse: Callable[[str], Any], spelled: Callable[[Any], str]) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda value: isinstance(value, (str, int, float)),
        str_from_instance=lambda value: [spelled(value)],
    )
