"""Where conditions start to hold, by halving."""

from collections.abc import Callable

import numpy as np


def bisection(
    holds: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    num_steps: int,
    *,
    geometric: bool = False,
) -> np.ndarray:
    """(C,) middles of the intervals left after num_steps halvings, for conditions (C,) that hold from some x on.

    Intervals are halved at their arithmetic or, between positive ends, at their geometric middle.
    """

    def middle() -> np.ndarray:
        return np.sqrt(low * high) if geometric else 0.5 * (low + high)

    for _ in range(num_steps):
        good = holds(middle())
        low, high = np.where(good, low, middle()), np.where(good, middle(), high)
    return middle()
