"""Reward models fitted to Bradley-Terry labels, in NumPy: their error by Fisher information, and Pref-FT's limits.

n pairs (a, b) of independent draws from p, a winning with probability sigma((R_a - R_b)/T). The information on the
rewards in units of T is n L, L the Laplacian of the weights 2 p_a p_b sigma', so that for large n

    Cov(r) = T^2 L^+/n,   P(r orders a and b as R) = Phi(|R_a - R_b| sqrt(n) / (T sqrt((e_a - e_b)' L^+ (e_a - e_b)))).
"""

import numpy as np
from scipy.special import expit
from scipy.stats import norm

_NEWTON_STEPS = 30


def win_law(reward: np.ndarray, probs: np.ndarray, temperature: float) -> np.ndarray:
    """(A, A) probability that a pair is (winner, loser), two draws of one action included."""
    return 2 * np.outer(probs, probs) * expit((reward[:, None] - reward) / temperature)


def draw_wins(generator: np.random.Generator, law: np.ndarray, num_pairs: int, count: int) -> np.ndarray:
    """(K, A, A) counts of `num_pairs` labelled pairs."""
    return generator.multinomial(num_pairs, law.ravel() / law.sum(), count).reshape(count, *law.shape).astype(float)


def laplacian(reward: np.ndarray, probs: np.ndarray, temperature: float) -> np.ndarray:
    """(A, A) information of one pair on the rewards in units of the temperature."""
    chance = expit((reward[:, None] - reward) / temperature)
    weights = np.outer(probs, probs) * chance * (1 - chance)
    return 2 * (np.diag(weights.sum(1)) - weights)


def distances(reward: np.ndarray, probs: np.ndarray, temperature: float) -> np.ndarray:
    """(A, A) n Var(r_a - r_b)/T^2 for large n."""
    inverse = np.linalg.pinv(laplacian(reward, probs, temperature), hermitian=True)
    diagonal = np.diag(inverse)
    return diagonal[:, None] + diagonal - 2 * inverse


def error(reward: np.ndarray, probs: np.ndarray, temperature: float) -> float:
    """n times the mean of `squared_error` for large n."""
    return temperature**2 * float(probs @ distances(reward, probs, temperature) @ probs)


def agreement(reward: np.ndarray, probs: np.ndarray, temperature: float, num_pairs: int) -> float:
    """P(the learned reward orders a pair of reference draws as R does), R's ties left out, for large n."""
    gap = np.abs(reward[:, None] - reward)
    weights = np.outer(probs, probs) * (gap > 0)
    sizes = np.where(gap > 0, distances(reward, probs, temperature), 1.0)
    right = norm.cdf(gap * np.sqrt(num_pairs / sizes) / temperature)
    return float((weights * right).sum() / weights.sum())


def agreements(learned: np.ndarray, reward: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """(K,) shares of those pairs that (K, A) learned rewards order as R does."""
    sign = np.sign(reward[:, None] - reward)
    weights = np.outer(probs, probs) * (sign != 0)
    right = np.sign(learned[:, :, None] - learned[:, None, :]) == sign
    return (weights * right).sum(axis=(1, 2)) / weights.sum()


def squared_error(learned: np.ndarray, reward: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """(K,) mean of (r_a - r_b - R_a + R_b)^2 over pairs of reference draws: twice the variance of r - R under p."""
    error = learned - reward
    return 2 * ((error**2) @ probs - (error @ probs) ** 2)


def fit(wins: np.ndarray, ridge: float) -> np.ndarray:
    """(K, A) r that minimises sum_ab W_ab log(1 + e^{-(r_a - r_b)}) + ridge ||r||^2/2, by Newton's damped steps."""
    both = wins + wins.transpose(0, 2, 1)
    rewards = np.zeros(wins.shape[:2])
    for _ in range(_NEWTON_STEPS):
        chance = expit(rewards[:, :, None] - rewards[:, None, :])
        slope = (both * chance - wins).sum(2) + ridge * rewards
        weights = both * chance * (1 - chance)
        hessian = -weights
        diagonal = np.arange(wins.shape[1])
        hessian[:, diagonal, diagonal] += weights.sum(2) + ridge
        change = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
        largest = np.maximum(np.ptp(change, axis=1, keepdims=True), 1e-300)
        rewards = rewards - change * np.log1p(largest) / largest
    return rewards


def ridge_bound(reward: np.ndarray, probs: np.ndarray, temperature: float, num_pairs: float, ridge: float) -> float:
    """Largest distance that a ridge explains between the fit of expected counts and the centred rewards over T.

    The ridge's gradient at the truth, over a curvature that no more than halves as long as margins move by less than
    log 2.
    """
    truth = (reward - reward.mean()) / temperature
    curvature = np.linalg.eigvalsh(laplacian(reward, probs, temperature))[1] * num_pairs
    return float(2 * ridge * np.linalg.norm(truth) / curvature)


def winners(learned: np.ndarray, reward: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """(K,) E R of the law of a pair's winner by (K, A) learned rewards, ties dropped: Pref-FT's limit."""
    won = probs * ((learned[:, None, :] < learned[:, :, None]) @ probs)
    return won @ reward / won.sum(axis=1)


def noisy_winner(reward: np.ndarray, probs: np.ndarray, temperature: float) -> float:
    """E R of the winner of a Bradley-Terry label, ties and all: Pref-FT's limit with such labels."""
    return float(win_law(reward, probs, temperature).sum(1) @ reward)
