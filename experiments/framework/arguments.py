"""Command-line errors in one line, and the typed arguments whose values complete in the shell."""

import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from tyro.constructors import PrimitiveConstructorSpec

PRESETS = ("smoke", "default", "paper")


class CommandLineError(Exception):
    """Something that the user typed cannot be done; shown as one line, exit code 2."""


def unknown(argument: str, value: str, choices: Sequence[str]) -> str:
    """The message for a ``value`` that is not among the ``choices``, with the nearest one."""
    near = difflib.get_close_matches(value, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{argument} must be one of {', '.join(choices) or '(none)'}; got {value!r}{hint}"


def one_of(argument: str, choices: Callable[[], Sequence[str]]) -> PrimitiveConstructorSpec[str]:
    """A string argument out of ``choices()``: completed by the shell, refused in one line."""

    def parse(words: list[str]) -> str:
        if words[0] not in choices():
            raise CommandLineError(unknown(argument, words[0], choices()))
        return words[0]

    # tyro answers a wrong choice with a box of many lines, so it hears of the choices only when it writes the
    # completion script.
    completing = any(word.startswith("--tyro-") for word in sys.argv)
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(choices()) + "}" if len(choices()) <= len(PRESETS) else argument,
        instance_from_str=parse,
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
        choices=tuple(choices()) if completing else None,
    )


def require_writable(argument: str, folder: Path) -> None:
    """Make ``folder`` and prove that a file can be written there; CommandLineError otherwise."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandLineError(f"{argument} must be a writable folder; got '{folder}' ({reason})") from error
