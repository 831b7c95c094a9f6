"""Curvature and maximum of the Bradley-Terry likelihood of labels in tabular rewards. NumPy, for concrete arrays."""

import numpy as np
from scipy.special import expit


def hessian(wins: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """(S, A, A) Hessian of sum W log(1 + e^{-(r_i - r_j)}) in the rewards, a block per context."""
    gaps = reward[:, :, None] - reward[:, None, :]
    curvature = (wins + wins.swapaxes(1, 2)) * expit(gaps) * expit(-gaps)
    degrees = curvature.sum(axis=2)
    return degrees[:, :, None] * np.eye(wins.shape[1]) - curvature


def least_curvature(wins: np.ndarray, reward: np.ndarray) -> float:
    """The smallest non-zero eigenvalue of `hessian`."""
    values = np.linalg.eigvalsh(hessian(wins, reward)).ravel()
    return float(values[values > 1e-10 * values.max()].min())


def maximum_likelihood(wins: np.ndarray, max_steps: int = 100) -> np.ndarray | None:
    """(S, A) rewards that maximise the Bradley-Terry likelihood of wins (S, A, A), zero on average over every
    component; None without a maximum. Newton's method in the rewards."""
    total = wins.sum()
    reward = np.zeros(wins.shape[:2])
    for _ in range(max_steps):
        gaps = reward[:, :, None] - reward[:, None, :]
        flow = (wins * expit(-gaps) - wins.swapaxes(1, 2) * expit(gaps)).sum(axis=2)
        steps = [np.linalg.pinv(block, rcond=1e-10) @ g for block, g in zip(hessian(wins, reward), flow, strict=True)]
        reward = reward + np.stack(steps)
        if np.abs(reward).max() > 30:
            return None
        if np.abs(flow).max() < 1e-12 * total:
            return reward
    return None
