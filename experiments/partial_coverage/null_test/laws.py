"""Where the likelihood has a maximum, and how far descent can still be from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from experiments.partial_coverage.null_test.experiment import Config


def strongly_connected(wins: np.ndarray) -> np.ndarray:
    """(N,) whether a chain of wins leads from every action to every other (Ford): then, and only then, W (N, A, A)
    has a finite maximum-likelihood reward, unique up to a shift."""
    reach = (wins > 0) | np.eye(wins.shape[1], dtype=bool)
    for _ in range(wins.shape[1]):
        reach = np.einsum("nij,njk->nik", reach.astype(float), reach.astype(float)) > 0
    return np.asarray(reach.all(axis=(1, 2)))


def descent_remainder(config: Config, wins: np.ndarray, reward: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """(N,) how far descent can still be from the optimum, in log-ratios: 2 sqrt(2) |g| / lambda.

    lambda is the least curvature of the mean loss at the optimum along differences of seen actions: near it |g| >=
    lambda |theta - theta_hat| up to a factor that the 2 covers, and a pair's log-ratio moves by at most sqrt(2) of
    that distance.
    """
    seen = config.num_seen
    counts = (wins + wins.swapaxes(1, 2))[:, :seen, :seen] * (1 - np.eye(seen))
    gaps = reward[:, :seen, None] - reward[:, None, :seen]
    weights = counts * 0.25 / np.cosh(gaps / 2) ** 2 / wins.sum(axis=(1, 2), keepdims=True)
    laplacian = weights.sum(2)[:, :, None] * np.eye(seen) - weights
    curvature = config.beta**2 * np.linalg.eigvalsh(laplacian)[:, 1]
    return 2 * np.sqrt(2) * norm / curvature
