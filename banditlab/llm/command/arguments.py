"""Typed values of the command line: what cannot be used is refused in one line that names the argument."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec


class CommandLineError(Exception):
    """Something that the user typed cannot be done; shown as one line, exit code 2."""


def flag(name: str) -> str:
    """The option of a field: --num-rounds for num_rounds."""
    return "--" + name.replace("_", "-")


def one_of(name: str, choices: Sequence[str], default: str) -> PrimitiveConstructorSpec[str | None]:
    """A string out of `choices`, dashes and underscores alike; `default` is what the help calls None."""

    def parse(word: str) -> str:
        if word.replace("-", "_") in choices:
            return word.replace("-", "_")
        shown = [choice.replace("_", "-") for choice in choices]
        near = difflib.get_close_matches(word.replace("_", "-"), shown, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise CommandLineError(f"{flag(name)} must be one of {', '.join(shown)}; got {word!r}{hint}")

    return _spec("{" + ",".join(choices).replace("_", "-") + "}", parse, default)


def whole(name: str, default: str) -> PrimitiveConstructorSpec[int | None]:
    """A whole number, whose range is the library's to check."""
    return _spec("INT", _read(name, int, "a whole number"), default)


def real(name: str, default: str) -> PrimitiveConstructorSpec[float | None]:
    """A number, whose range is the library's to check."""
    return _spec("FLOAT", _read(name, float, "a number"), default)


def truth(name: str, default: str) -> PrimitiveConstructorSpec[bool | None]:
    """true or false."""
    words = {"true": True, "false": False}
    return _spec("{true,false}", _read(name, words.__getitem__, "true or false"), default)


def place(default: str) -> PrimitiveConstructorSpec[Path | None]:
    """A path."""
    return _spec("DIR", Path, default)


def require_writable(name: str, folder: Path) -> None:
    """Make `folder` and prove that a file can be written there; CommandLineError otherwise."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandLineError(f"{flag(name)} must be a writable folder; got '{folder}' ({reason})") from error


def _read(name: str, kind: Callable[[str], Any], wanted: str) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        try:
            return kind(word)
        except (ValueError, KeyError) as error:
            raise CommandLineError(f"{flag(name)} must be {wanted}; got {word!r}") from error

    return parse


def _spec(metavar: str, parse: Callable[[str], Any], default: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda value: value is None or isinstance(value, (str, int, float, Path)),
        str_from_instance=lambda value: [default if value is None else str(value).replace("_", "-")],
    )
