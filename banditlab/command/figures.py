"""What the verb `figures` does with every result that was chosen."""

from __future__ import annotations

from collections.abc import Iterable

from banditlab.claims import drawing
from banditlab.claims.selection import Selection
from banditlab.command.reporting import complain, say
from banditlab.errors import CommandLineError, require_writable, writing


def draw_all(chosen: Iterable[Selection], manner: drawing.Manner, *, committed: bool, update: bool) -> int:
    """Draw results, the committed ones instead, or make fresh ones the committed ones; the exit code.

    A figure with faults is refused in one line (exit code 2), and the others are drawn.
    """
    done: list[bool | None] = []
    refused = False
    for one in chosen:
        try:
            drawn, lines = _drawn(one, manner, committed=committed)
            done.append(drawn)
            for line in lines:
                say(line)
            if update:
                say(drawing.update(one))
        except drawing.FigureError as error:
            complain(str(error))
            refused = True
    failed = committed and (False in done or not any(done))
    return 2 if refused else int(failed)


def require_alone(manner: drawing.Manner, *, committed: bool, update: bool, elsewhere: bool) -> None:
    """CommandLineError for options that exclude each other, or would spoil committed figures."""
    if committed and update:
        raise CommandLineError("--committed and --update exclude each other")
    for word, given in (("--no-caption", not manner.with_caption), ("--draft", manner.draft)):
        if given and (update or (committed and not elsewhere)):
            raise CommandLineError(
                f"{word} must leave committed figures alone: without --update, and --committed with --output"
            )


def _drawn(one: Selection, manner: drawing.Manner, *, committed: bool) -> tuple[bool | None, list[str]]:
    if committed and one.output is None:
        return drawing.draw_committed(one, manner)
    require_writable("--output", one.results)
    with writing("--output", one.results):
        return drawing.draw_committed(one, manner) if committed else (True, drawing.draw_fresh(one, manner))
