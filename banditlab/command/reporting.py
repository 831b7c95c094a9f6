"""What the command prints: verdicts with their counts, and single lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from banditlab.terminal import Terminal

if TYPE_CHECKING:
    from banditlab.claims.verification import Verdict

STYLES = {"pass": "green", "FAIL": "bold red"}
_LONGEST = 2000


def report(verdicts: Iterable[Verdict]) -> int:
    """Print verdicts and their counts; the exit code."""
    counts = {"pass": 0, "FAIL": 0}
    for verdict in verdicts:
        counts[verdict.word] = counts.get(verdict.word, 0) + 1
        say(verdict.text, verdict.word)
    passed, failed = counts.pop("pass"), counts.pop("FAIL")
    say(", ".join([f"{passed} passed, {failed} failed", *(f"{count} {word}" for word, count in counts.items())]))
    return 1 if failed or not (passed or counts) else 0


def say(text: str, word: str = "") -> None:
    """Print one line, never broken, after a coloured word."""
    console = Terminal()
    if word:
        console.print(word, style=STYLES.get(word, "yellow"), end="  ")
    console.print(text)


def complain(text: str) -> None:
    """Print one line about what could not be done to the errors."""
    warn(f"error: {text}")


def warn(text: str) -> None:
    """Print one line to the errors, never broken, without its middle where it is endless."""
    half = _LONGEST // 2
    Terminal(stderr=True).print(text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}")
