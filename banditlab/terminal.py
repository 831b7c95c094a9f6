"""Printing text that others may have written: control characters are shown, never sent to the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text


def printable(text: str) -> str:
    r"""``text`` with every character that no reader could see, such as an escape or a line's end, as ``\x1b``."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class Terminal(Console):
    """A console that prints strings as they are but for `printable`: no markup, no highlighting, no emoji.

    Args:
      stderr: print there. lines: never break a line; else tables and text are folded to the terminal's width.
    """

    def __init__(self, *, stderr: bool = False, lines: bool = True) -> None:
        super().__init__(stderr=stderr, soft_wrap=lines, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """What rich makes of every string that is printed, by itself or in a table's cell."""
        return super().render_str(printable(text), **options)
