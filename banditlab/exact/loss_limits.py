"""Where infinite data lead losses of rewards and of their ranks."""

import numpy as np

from banditlab.exact import best_of_n


def place(tables: tuple[np.ndarray, np.ndarray], log_law: np.ndarray) -> tuple[float, float]:
    """(KL(p||pi_ref), E_p R) of log p (A,), which may hold -inf; tables are R and log pi_ref."""
    reward, log_reference = tables
    law = np.exp(log_law)
    played = law > 0
    return float(law[played] @ (log_law - log_reference)[played]), float(law @ reward)


def tilted(reward: np.ndarray, log_reference: np.ndarray, temperature: float) -> np.ndarray:
    """log of pi_ref e^{R/t}, normalised: the limit of RWR, and pi* of REINFORCE with the penalty t."""
    logits = log_reference + reward / temperature
    return logits - np.logaddexp.reduce(logits)


def maximum_law(reward: np.ndarray, log_reference: np.ndarray, num_draws: int) -> np.ndarray:
    """log of the law of the best of n draws, the limit of Best-of-N."""
    return _log(best_of_n.law(reward, np.exp(log_reference), num_draws))


def winner_law(reward: np.ndarray, log_reference: np.ndarray) -> np.ndarray:
    """log of the law of a pair's winner, ties dropped, the limit of Pref-FT: proportional to pi_ref P(R < R(a))."""
    return _log(best_of_n.of_levels(reward, np.exp(log_reference), lambda below, level: 2 * below * level))


def _log(law: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(law)


def rank_tilt(reward: np.ndarray, log_reference: np.ndarray, target: float) -> np.ndarray:
    """log of IPO's limit: log(pi/pi_ref) is the least-squares solution of h_a - h_b = target over pairs a beats b.

    Without ties h_a = target (P(R < R(a)) - P(R > R(a))): a tilt by rank, whatever the rewards.
    """
    law = np.exp(log_reference)
    sign = np.sign(reward[:, None] - reward[None, :])
    weights = law[:, None] * law[None, :] * (sign != 0)
    laplacian = np.diag(weights.sum(1)) - weights
    scale = np.sqrt(law)
    balanced = laplacian / scale[:, None] / scale[None, :]
    pulls = target * (weights * sign).sum(1) / scale
    tilt = np.linalg.lstsq(balanced, pulls, rcond=1e-12)[0] / scale
    logits = log_reference + tilt
    return logits - np.logaddexp.reduce(logits)
