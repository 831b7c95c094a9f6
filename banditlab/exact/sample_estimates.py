"""Estimates with their standard errors: medians of samples and slopes of lines."""

import math

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
