"""Pseudo-true parameters: where a logistic fit of preferences tends when no parameter explains the labels.

Pairs (x, i, j) are drawn with the probabilities `pair_law` (S, A, A), and i beats j with probability `win_probs` (S, A,
A). The fitted margin is beta theta'(phi_i - phi_j) with features phi (S, A, d). Labellers that no reward explains are
tables of `win_probs` made of the true differences r_i - r_j, `gaps` (S, A, A).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax


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


def flipped(gaps: np.ndarray, share: float) -> np.ndarray:
    """Win probabilities (S, A, A) where a share of the labels is turned round."""
    return (1 - 2 * share) / (1 + np.exp(-gaps)) + share


def tempered(gaps: np.ndarray, doublings: float) -> np.ndarray:
    """Win probabilities (S, A, A) of a labeller of temperature 2^doublings; a reward does explain them."""
    return 1 / (1 + np.exp(-gaps * 2.0**-doublings))


def cyclic(gaps: np.ndarray, strength: float) -> np.ndarray:
    """sigma(r_i - r_j + strength c_ij), (S, A, A): c_ij = +-1, the sign by the order and the parity of i - j."""
    places = np.arange(gaps.shape[1])
    distance = places[:, None] - places[None, :]
    signs = np.sign(distance) * np.where(distance % 2 == 0, -1.0, 1.0)
    return 1 / (1 + np.exp(-(gaps + strength * signs[None])))


def recursion(
    features: np.ndarray,
    beta: float,
    win_probs: np.ndarray,
    context_probs: np.ndarray,
    scores: np.ndarray,
    log_base: np.ndarray,
    start: np.ndarray,
    num_rounds: int = 1,
) -> np.ndarray:
    """theta (d,) after num_rounds of infinitely many labels, each round's pairs from the policy of the one before.

    Of one round, the `minimiser` of a fixed sampler. The first pairs are from softmax(scores) twice, scores (S, A); the
    policy of theta is softmax(log_base + phi theta).
    """
    theta = start
    for _ in range(num_rounds):
        probs = np.exp(log_softmax(scores, axis=1))
        law = context_probs[:, None, None] * probs[:, :, None] * probs[:, None, :]
        theta = minimiser(features, beta, win_probs, law, start)
        scores = log_base + features @ theta
    return theta


def mean_kl(context_probs: np.ndarray, scores: np.ndarray, other: np.ndarray) -> float:
    """E_x KL(softmax(scores) || softmax(other)) for scores (S, A)."""
    log_p, log_q = (log_softmax(values, axis=1) for values in (scores, other))
    return float(context_probs @ (np.exp(log_p) * (log_p - log_q)).sum(axis=1))


def _outcomes(
    features: np.ndarray, beta: float, win_probs: np.ndarray, pair_law: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of (x, winner, loser) among labels, self-pairs left out, and beta (phi_winner - phi_loser)."""
    either = pair_law + pair_law.transpose(0, 2, 1)
    outcomes = either * win_probs * (1 - np.eye(features.shape[1]))
    return outcomes, beta * (features[:, :, None] - features[:, None, :])
