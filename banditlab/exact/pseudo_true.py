"""Pseudo-true parameters: where a logistic fit of preferences tends when no parameter explains the labels.

Pairs (x, i, j) are drawn with the probabilities `pair_law` (S, A, A), and i beats j with probability `win_probs` (S, A,
A). The fitted margin is beta theta'(phi_i - phi_j) with features phi (S, A, d).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit


def minimiser(
    features: np.ndarray, beta: float, win_probs: np.ndarray, pair_law: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """theta_dagger (d,) = argmin E -log sigma(beta theta'z), found by Newton's method in a trust region from `start`.

    z is the winner's feature less the loser's.
    """
    outcomes, gaps = _outcomes(features, beta, win_probs, pair_law)
    weights = outcomes.ravel()
    rows = gaps.reshape(-1, gaps.shape[-1])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = rows @ theta
        return float(-weights @ log_expit(margin)), -(weights * expit(-margin)) @ rows

    def hessian(theta: np.ndarray) -> np.ndarray:
        margin = rows @ theta
        return (rows * (weights * expit(margin) * expit(-margin))[:, None]).T @ rows

    return minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-13}).x


def sandwich(
    features: np.ndarray, beta: float, win_probs: np.ndarray, pair_law: np.ndarray, theta: np.ndarray
) -> np.ndarray:
    """A^{-1} B A^{-1} (d, d), the limit of n Cov(theta_hat): A the Hessian of a label, B the score's second moment."""
    outcomes, gaps = _outcomes(features, beta, win_probs, pair_law)
    margin = gaps @ theta
    bend = np.einsum("xij,xijr,xijs->rs", outcomes * expit(margin) * expit(-margin), gaps, gaps)
    noise = np.einsum("xij,xijr,xijs->rs", outcomes * expit(-margin) ** 2, gaps, gaps)
    return np.linalg.solve(bend, np.linalg.solve(bend, noise).T)


def _outcomes(
    features: np.ndarray, beta: float, win_probs: np.ndarray, pair_law: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of (x, winner, loser) among labels, self-pairs left out, and beta (phi_winner - phi_loser)."""
    either = pair_law + pair_law.transpose(0, 2, 1)
    outcomes = either * win_probs * (1 - np.eye(features.shape[1]))
    return outcomes, beta * (features[:, :, None] - features[:, None, :])
