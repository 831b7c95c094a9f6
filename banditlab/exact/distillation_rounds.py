"""What the rounds of reward distillation leave of theta - theta*, without sampling (docs/theory.md, section 6).

Noiseless rounds with damping eta go the share eta of the way to theta*, theta_k - theta* = (1-eta)^k (theta_0 -
theta*). What noiseless learners can be at is a finite set: one theta for every set of differences that they have seen.
"""

import numpy as np


def damped_errors(error: np.ndarray, damping: float, num_rounds: int) -> np.ndarray:
    """(num_rounds, d) theta_k - theta* for k = 1, 2, .. from the error (d,) of theta_0."""
    return (1 - damping) ** np.arange(1, num_rounds + 1)[:, None] * error


def relative_distance(errors: np.ndarray, path: np.ndarray) -> np.ndarray:
    """(..., K) distance of errors (..., K, d) from a path (K, d), over the length of the path's."""
    return np.linalg.norm(errors - path, axis=-1) / np.linalg.norm(path, axis=-1)


def damped_rounding(damping: float, num_rounds: int) -> float:
    """How far rounding takes theta_k from its path, relative to what is left of the error after `num_rounds`.

    theta and theta* are of order 4, and the last error (1-eta)^k times that: rounding grows by its inverse.
    """
    return 1e4 * np.finfo(float).eps / (1 - damping) ** num_rounds


def distance_to_nearest(params: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """(...,) largest difference of a coordinate between params (..., d) and the nearest of allowed (P, d)."""
    nearest = np.full(params.shape[:-1], np.inf)
    for each in allowed:
        nearest = np.minimum(nearest, np.abs(params - each).max(axis=-1))
    return nearest
