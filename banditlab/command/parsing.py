"""From the words typed to a call to make: errors are one line, and nothing runs while the words are read."""

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar

from tyro.conf import FlagCreatePairsOff
from tyro.extras import SubcommandApp

from banditlab.errors import CommandLineError, unknown

Parsed = TypeVar("Parsed")

# A line that names an argument: "--data PATH", "NAME".
_NAMED = re.compile(r"(--[a-z-]+ )?[A-Z]+")


def deferred(function: Callable[..., int]) -> Callable[..., Any]:
    """``function`` as a verb: calling it with the words' values makes the call ready and leaves it for later."""

    @wraps(function)
    def ready(*values: Any, **named: Any) -> Callable[[], int]:
        return partial(function, *values, **named)

    return ready


def parsed(app: SubcommandApp, arguments: Sequence[str], prog: str, description: str) -> Callable[[], int]:
    """The call that the words ask for; CommandLineError, in one line, for words that ask for none.

    Raises SystemExit after printing a help text or a completion script.
    """
    verbs = tuple(app._subcommands)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in verbs:
        raise CommandLineError(unknown("VERB", arguments[0], verbs, f" (`{prog} --help`)"))
    words = {"args": list(arguments), "prog": prog, "description": description}
    # A flag is given or not: there is no --no-flag.
    return in_one_line(lambda: app.cli(**words, config=(FlagCreatePairsOff,)), prog)


def in_one_line(parse: Callable[[], Parsed], prog: str) -> Parsed:
    """What tyro's ``parse`` returns; its refusal, a box of many lines, as a CommandLineError."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse()
    except SystemExit as stop:
        if not stop.code:
            raise
        raise CommandLineError(f"{_sentence(said.getvalue())} (`{prog} --help`)") from stop


def _sentence(box: str) -> str:
    """What tyro's box of an error says, as one sentence: the lines above its first rule, and a near name below it.

    The box is drawn with lines or, where the terminal has none, with spaces.
    """
    _, *inside = [line.strip("│ ") for line in box.splitlines() if line.strip("│ ")] or [""]
    rules = [place for place, line in enumerate(inside) if set(line) <= set("─-╰╯")] or [len(inside)]
    if rules[0] == 0:  # a rule under the title
        inside, rules = inside[1:], [place - 1 for place in rules[1:]] or [len(inside) - 1]
    said = inside[: rules[0]]
    if said and said[0].startswith("Missing from"):  # then names, each with the lines of its help text
        said[1:] = [line for line in said[1:] if _NAMED.fullmatch(line)]
    if said and said[0].startswith("Unrecognized options: -"):  # the values that follow are no options
        said[0] = said[0].split(",")[0]
    text = " ".join(said).rstrip(".") or "the words are not understood"
    below = inside[rules[0] + 1 :]
    near = below[1].split()[0] if below[:1] == ["Perhaps you meant:"] and len(below) > 1 else ""
    return text[0].lower() + text[1:] + (f"; did you mean {near}?" if near else "")
