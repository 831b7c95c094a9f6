"""Timing that can be compared: compile apart, interleaved with the baseline, minimum and median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax


class Timing(NamedTuple):
    """Seconds of one call: the first one (with compilation), and the minimum and median of the others."""

    first: float
    minimum: float
    median: float


def interleaved(functions: Sequence[Callable[[], Any]], repeats: int) -> list[Timing]:
    """Time the functions in turn, A B A B .., so that a drift of the machine's speed hits all alike."""
    first = [_seconds(function) for function in functions]
    rows = [[_seconds(function) for function in functions] for _ in range(repeats)]
    return [
        Timing(start, min(times), statistics.median(times))
        for start, times in zip(first, zip(*rows, strict=True), strict=True)
    ]


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start
