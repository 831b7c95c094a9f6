"""Where the Bradley-Terry likelihood of a data set has a maximum, and how far from it a small gradient can be."""

import numpy as np


def strongly_connected(wins: np.ndarray) -> np.ndarray:
    """(N,) whether a chain of wins leads from every action to every other (Ford): then, and only then, W (N, A, A)
    has a finite maximum-likelihood reward, unique up to a shift."""
    reach = (wins > 0) | np.eye(wins.shape[1], dtype=bool)
    for _ in range(wins.shape[1]):
        reach = np.einsum("nij,njk->nik", reach.astype(float), reach.astype(float)) > 0
    return np.asarray(reach.all(axis=(1, 2)))


def descent_remainder(wins: np.ndarray, reward: np.ndarray, beta: float, norm: np.ndarray) -> np.ndarray:
    """(N,) how far descent on DPO's mean loss can still be from the optimum, in log-ratios: 2 sqrt(2) |g| / lambda.

    lambda is the least curvature of the mean loss at the optimum along differences of actions: near it |g| >= lambda
    |theta - theta_hat| up to a factor that the 2 covers, and a pair's log-ratio moves by at most sqrt(2) of that
    distance. For counts of wins (N, A, A) among compared actions, fitted rewards (N, A) and gradient norms (N,).
    """
    counts = (wins + wins.swapaxes(1, 2)) * (1 - np.eye(wins.shape[1]))
    gaps = reward[:, :, None] - reward[:, None, :]
    weights = counts * 0.25 / np.cosh(gaps / 2) ** 2 / wins.sum(axis=(1, 2), keepdims=True)
    laplacian = weights.sum(2)[:, :, None] * np.eye(wins.shape[1]) - weights
    curvature = beta**2 * np.linalg.eigvalsh(laplacian)[:, 1]
    return np.asarray(2 * np.sqrt(2) * norm / curvature)
