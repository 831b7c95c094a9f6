"""A sample beside a law on finitely many numbers, known up to rounding: neighbours within 2 tolerance are one value."""

import math

import numpy as np


def kolmogorov_distance(values: np.ndarray, probs: np.ndarray, sample: np.ndarray, tolerance: float) -> float:
    """sup |F_N - F| of a sample (N,) against the law of `probs` on `values`, (K,) each.

    Both functions are compared half-way between neighbouring values of the law, where rounding cannot matter.
    """
    order = np.argsort(values)
    values, cumulative = values[order], np.cumsum(probs[order])
    apart = np.flatnonzero(np.diff(values) > 2 * tolerance)  # equal values may differ by rounding
    middle = 0.5 * (values[apart] + values[apart + 1])
    empirical = np.searchsorted(np.sort(sample), middle) / len(sample)
    return float(np.abs(empirical - cumulative[apart]).max(initial=0.0))


def off_lattice(values: np.ndarray, sample: np.ndarray, tolerance: float) -> int:
    """How many of a sample (N,) are none of the values (K,)."""
    values = np.sort(values)
    nearest = values[np.searchsorted(0.5 * (values[1:] + values[:-1]), sample)]
    return int((np.abs(nearest - sample) > tolerance).sum())


def distance_bound(num_samples: int, false_alarm: float) -> float:
    """What sup |F_N - F| exceeds with probability false_alarm at most, whatever the law.

    Dvoretzky-Kiefer-Wolfowitz-Massart: P(sup |F_N - F| > e) <= 2 exp(-2 N e^2).
    """
    return math.sqrt(math.log(2 / false_alarm) / (2 * num_samples))
