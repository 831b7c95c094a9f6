"""The errors of whatever the user asked for and cannot be done, and what they say about names and places."""

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

_SHOWN = 8
_LONGEST_WORD = 60
# Written to see whether there is room for anything.
_PROBE = bytes(2**16)


class CommandLineError(Exception):
    """Something that the user asked for cannot be done; the command shows it as one line, exit code 2.

    No ValueError, which the parser of the words would answer itself.
    """


class ClaimError(ValueError):
    """A function of a claim does not do what `banditlab.claims.Experiment` asks of it; the command shows one line."""


def unknown(argument: str, value: str, choices: Sequence[str], hint: str = "") -> str:
    """The message for a ``value`` that is not among the ``choices``: the nearest of these, all when they are few."""
    near = difflib.get_close_matches(value[:_LONGEST_WORD], choices, n=3)
    got = shown(value)
    if near:
        return f"{argument} {got} is not known; did you mean {' or '.join(map(repr, near))}?{hint}"
    known = f" must be one of {', '.join(choices)}; got {got}" if len(choices) <= _SHOWN else f" {got} is not known"
    return f"{argument}{known}{hint}"


def shown(word: str) -> str:
    """A word in quotes, its middle left out where it is long."""
    half = _LONGEST_WORD // 2
    return repr(word if len(word) <= _LONGEST_WORD else f"{word[:half]}...{word[-half:]}")


def require_writable(argument: str, folder: Path) -> None:
    """Make ``folder`` and prove that a file can be written there; CommandLineError otherwise."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandLineError(f"{argument} must be a writable folder; got '{folder}' ({reason})") from error


def require_no_folder(argument: str, paths: Iterable[Path]) -> None:
    """CommandLineError where a folder has the place of a file that is to be written."""
    for path in paths:
        if path.is_dir():
            raise CommandLineError(f"{argument} must leave room for its files; '{path}' is a folder")


@contextmanager
def writing(argument: str, folder: Path) -> Iterator[None]:
    """What goes wrong with files in ``folder``, a full disk for one, as a CommandLineError that names the argument."""
    try:
        yield
    except OSError as error:
        if not (isinstance(error.filename, str) and Path(error.filename).is_relative_to(folder)):
            raise
        what = f"'{error.filename}' cannot be written ({error.strerror})"
        raise CommandLineError(f"{argument} must be a writable folder; {what}") from error
