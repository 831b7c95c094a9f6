"""Where the Bradley-Terry likelihood of a data set has a maximum."""

import numpy as np


def strongly_connected(wins: np.ndarray) -> np.ndarray:
    """(N,) whether a chain of wins leads from every action to every other (Ford): then, and only then, W (N, A, A)
    has a finite maximum-likelihood reward, unique up to a shift."""
    reach = (wins > 0) | np.eye(wins.shape[1], dtype=bool)
    for _ in range(wins.shape[1]):
        reach = np.einsum("nij,njk->nik", reach.astype(float), reach.astype(float)) > 0
    return np.asarray(reach.all(axis=(1, 2)))
