"""The prior of least information on an interval, of Proposition 5's van Trees bound: a squared cosine."""

import numpy as np


def draw(radius: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws (shape) of the density cos^2(pi w/2r)/r on |w| <= r.

    The distribution function 1/2 + w/2r + sin(pi w/r)/(2 pi) is inverted by bisection.
    """
    levels = rng.random(shape)
    low, high = -np.ones_like(levels), np.ones_like(levels)
    for _ in range(50):
        middle = 0.5 * (low + high)
        below = 0.5 + 0.5 * middle + np.sin(np.pi * middle) / (2 * np.pi) < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return radius * low


def variance(radius: float) -> float:
    """r^2 (1/3 - 2/pi^2)."""
    return radius**2 * (1 / 3 - 2 / np.pi**2)
