"""Estimates with their standard errors: medians of samples, slopes of lines; and where a condition starts to hold."""

import math
from collections.abc import Callable

import numpy as np


def median(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians (C,) of samples (C, N) in ascending order, and their standard errors (C,).

    Order statistics two binomial standard deviations (each sqrt(N)/2) on either side: four standard errors apart.
    """
    size = ordered.shape[1]
    reach, centre = math.ceil(math.sqrt(size)), size // 2
    return np.median(ordered, axis=1), (ordered[:, centre + reach] - ordered[:, centre - reach]) / 4


def slope(x: np.ndarray, y: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Least-squares slope of y (K,) in x (K,), and its standard error where y has the standard errors `errors` (K,)."""
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return float(weights @ y), float(np.hypot.reduce(weights * errors))


def bisection(
    holds: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, num_steps: int
) -> np.ndarray:
    """(C,) middles of the intervals left after num_steps halvings, for conditions (C,) that hold from some x on."""
    for _ in range(num_steps):
        middle = 0.5 * (low + high)
        good = holds(middle)
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    return 0.5 * (low + high)
