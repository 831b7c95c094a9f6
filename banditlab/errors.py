"""The error of whatever the user asked for and cannot be done, and what it says about names."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

_SHOWN = 8


class CommandLineError(Exception):
    """Something that the user asked for cannot be done; the command shows it as one line, exit code 2.

    No ValueError, which the parser of the words would answer itself.
    """


class ClaimError(ValueError):
    """A function of a claim does not do what `banditlab.claims.Experiment` asks of it; the command shows one line."""


def unknown(argument: str, value: str, choices: Sequence[str], hint: str = "") -> str:
    """The message for a ``value`` that is not among the ``choices``: the nearest of these, all when they are few."""
    near = difflib.get_close_matches(value, choices, n=3)
    if near:
        return f"{argument} {value!r} is not known; did you mean {' or '.join(map(repr, near))}?{hint}"
    known = (
        f" must be one of {', '.join(choices)}; got {value!r}" if len(choices) <= _SHOWN else f" {value!r} is not known"
    )
    return f"{argument}{known}{hint}"


def require_writable(argument: str, folder: Path) -> None:
    """Make ``folder`` and prove that a file can be written there; CommandLineError otherwise."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandLineError(f"{argument} must be a writable folder; got '{folder}' ({reason})") from error
