"""The curvature of the Bradley-Terry likelihood of labels in tabular rewards. NumPy, for concrete arrays."""

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
