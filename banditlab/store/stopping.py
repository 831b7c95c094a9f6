"""Stopping in good order: what Ctrl-C and SIGTERM ask for reaches the threads that compute, too."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


class Terminated(KeyboardInterrupt):
    """SIGTERM came: the same as Ctrl-C, but for the exit code."""


@contextmanager
def listening() -> Iterator[None]:
    """Within it SIGINT raises KeyboardInterrupt and SIGTERM `Terminated`, in the main thread, and `check` raises too.

    A handler that someone else has set stays. Elsewhere than in the main thread nothing is changed. Where Python itself
    drops the error, as in a callback of the garbage collector, `check` has the last word, and nothing is printed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    changed = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    for number in changed:
        signal.signal(number, _stop)
    report = sys.unraisablehook
    sys.unraisablehook = lambda found: None if issubclass(found.exc_type, KeyboardInterrupt) else report(found)
    try:
        yield
    finally:
        sys.unraisablehook = report
        _asked.clear()
        for number in changed:
            signal.signal(number, usual[number])


def check() -> None:
    """KeyboardInterrupt where the process was asked to stop: a thread that computes begins nothing new then."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _stop(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
