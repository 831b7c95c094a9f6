"""The law of the best of n draws; equally good ones share in proportion to their mass."""

from collections.abc import Callable

import numpy as np


def law(reward: np.ndarray, reference: np.ndarray, num_draws: int) -> np.ndarray:
    """(A,) probabilities of the best of n draws of the reference (A,)."""
    return of_levels(reward, reference, lambda below, level: (below + level) ** num_draws - below**num_draws)


def of_levels(
    reward: np.ndarray, reference: np.ndarray, mass: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """(A,) the law that gives actions of equal reward mass(P(R less), P(R equal)), shared in proportion to pi_ref."""
    levels, place = np.unique(reward, return_inverse=True)
    level = np.bincount(place, reference, len(levels))
    below = np.cumsum(level) - level
    found = reference * (mass(below, level) / level)[place]
    return found / found.sum()
