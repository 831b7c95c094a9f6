"""Infinite-sample losses of the didactic bandit: their descent directions, minimisers, and the next order in 1/n.

Draws a, b come from p; R is the reward; F(a) = P(R_b < R_a), T(a) = P(R_b = R_a). Two kinds of loss:

    -E sum_a C_a log pi_a     descends along  c - pi sum c,  c = E C;  minimum pi = c/sum c,  none if some c_a < 0   (1)
    E l(b (z'u)), u = log(pi/pi_ref), z = e_winner - e_loser                                                        (2)

    best_of_n   c_a = p_a [(F + T)^N - F^N]/T                        rwr      c_a = p_a e^{R_a/beta}
    awr         c_a ∝ p_a e^{(1 - 1/N) R_a/beta}: the N - 1 others only scale it
    pref_ft     c_a ∝ p_a F(a), ties dropped                         reinforce, ppo   c_a = p_a (R_a - E_p R), sum c = 0
    dpo with Bradley-Terry labels of temperature T:  u_a = R_a/(beta T) + constant
    ipo with the larger reward winning:              u_a = target [F(a) - P(R_b > R_a)] + constant (normal equations)

The arrays reward and log_reference (A,) are all that is known of a bandit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax

LINEAR = ("best_of_n", "best_of_n_negative", "best_of_n_worst", "rwr", "awr", "pref_ft", "reinforce", "ppo")
FIXED = ("best_of_n", "rwr", "awr", "pref_ft", "dpo", "ipo")
ENDLESS = ("best_of_n_negative", "best_of_n_worst", "reinforce")


@dataclass(frozen=True)
class Numbers:
    """Draws a state, and the numbers of the losses."""

    num_samples: int
    beta: float
    temperature: float
    ipo_target: float
    negative_weight: float


class Outcomes(NamedTuple):
    """Observations: their probabilities (O,), and weights C (O, A) of log pi, or winner less loser (O, A)."""

    probs: np.ndarray
    weights: np.ndarray
    linear: bool


def ranks(reward: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F and T, (A,) each."""
    return (reward[None] < reward[:, None]) @ probs, (reward[None] == reward[:, None]) @ probs


def best_law(reward: np.ndarray, probs: np.ndarray, num_samples: int) -> np.ndarray:
    """(A,) law of the first best of N draws."""
    below, level = ranks(reward, probs)
    return probs * ((below + level) ** num_samples - below**num_samples) / level


def coefficients(name: str, reward: np.ndarray, probs: np.ndarray, numbers: Numbers) -> np.ndarray:
    """(A,) c of (1), normalised as the loss is: a mean over draws, over states or over the pairs kept."""
    count, scale = numbers.num_samples, numbers.beta
    if name.startswith("best_of_n"):
        best = best_law(reward, probs, count)
        others = {
            "best_of_n": np.zeros_like(best),
            "best_of_n_negative": (count * probs - best) / (count - 1),
            "best_of_n_worst": best_law(-reward, probs, count),
        }
        return best - numbers.negative_weight * others[name]
    if name == "rwr":
        return probs * np.exp(reward / scale)
    if name == "awr":
        rest = probs @ np.exp(-reward / (count * scale))
        return probs * np.exp((1 - 1 / count) * reward / scale) * rest ** (count - 1)
    if name == "pref_ft":
        wins = probs * ranks(reward, probs)[0]
        return wins / wins.sum()
    return probs * (reward - probs @ reward)


def pair_law(name: str, reward: np.ndarray, probs: np.ndarray, numbers: Numbers) -> np.ndarray:
    """(A, A) probability that a pair counts, its first being the winner, the second the loser."""
    gaps = reward[:, None] - reward[None]
    won = expit(gaps / numbers.temperature) if name == "dpo" else (gaps > 0).astype(float)
    return 2 * np.outer(probs, probs) * won


def direction(
    name: str,
    reward: np.ndarray,
    probs: np.ndarray,
    log_policy: np.ndarray,
    log_reference: np.ndarray,
    numbers: Numbers,
) -> np.ndarray:
    """(A,) negative gradient of the loss with respect to the logits, draws from `probs`."""
    if name in LINEAR:
        wanted = coefficients(name, reward, probs, numbers)
        return wanted - np.exp(log_policy) * wanted.sum()
    law = pair_law(name, reward, probs, numbers)
    ratio = log_policy - log_reference
    pulls = slopes(name, ratio[:, None] - ratio[None], numbers)[0] * law / law.sum()
    return pulls.sum(0) - pulls.sum(1)


def minimiser(name: str, reward: np.ndarray, log_reference: np.ndarray, numbers: Numbers) -> np.ndarray:
    """(A,) log of the policy that minimises the loss of draws from the reference; the name is one of FIXED."""
    probs = np.exp(log_reference)
    if name == "dpo":
        return log_softmax(log_reference + reward / (numbers.beta * numbers.temperature))
    if name == "ipo":
        below, level = ranks(reward, probs)
        return log_softmax(log_reference + numbers.ipo_target * (2 * below + level - 1))
    wanted = coefficients(name, reward, probs, numbers)
    with np.errstate(divide="ignore"):
        return np.log(wanted / wanted.sum())


def outcomes(name: str, reward: np.ndarray, probs: np.ndarray, numbers: Numbers) -> Outcomes:
    """The independent observations: states for best_of_n, draws for rwr, pairs (two draws a state) for the others."""
    eye = np.eye(len(reward))
    if name == "best_of_n":
        return Outcomes(best_law(reward, probs, numbers.num_samples), eye, True)
    if name == "rwr":
        return Outcomes(probs, np.exp(reward / numbers.beta)[:, None] * eye, True)
    first, second = (index.ravel() for index in np.indices(2 * reward.shape))
    if name == "awr":
        half = (reward[first] - reward[second]) / 2
        weights = np.exp([half / numbers.beta, -half / numbers.beta])[:, :, None] * eye[[first, second]]
        return Outcomes(probs[first] * probs[second], weights.sum(0) / 2, True)
    law = pair_law(name, reward, probs, numbers).ravel()
    if name == "pref_ft":
        return Outcomes(law, eye[first], True)
    return Outcomes(law, eye[first] - eye[second], False)


def reward_error(
    name: str, reward: np.ndarray, log_reference: np.ndarray, numbers: Numbers, size: int
) -> tuple[float, float]:
    """Standard deviation of E_pi R at the minimiser of a loss of `size` observations, and its bias to order 1/size.

    For (1) it is the ratio sum C R/sum C. For (2), an M-estimator with scores s, Hessians H and third derivative K of
    the mean loss, Q = (E H)^{-1} and d = Q s: the logits have covariance Q E[s s'] Q/n and bias
    Q (E[H d] - K[E d d']/2)/n, and E_pi R adds its gradient and its curvature.
    """
    law, weights, linear = outcomes(name, reward, np.exp(log_reference), numbers)
    log_policy = minimiser(name, reward, log_reference, numbers)
    policy = np.exp(log_policy)
    centred = reward - policy @ reward
    if linear:
        total, excess = weights.sum(1), weights @ centred
        mean = law @ total
        return float(np.sqrt(law @ excess**2 / size) / mean), float(-(law @ (total * excess)) / (size * mean**2))
    first, second, third = slopes(name, weights @ (log_policy - log_reference), numbers)
    scores = first[:, None] * weights
    hessian = weights.T @ ((law * second)[:, None] * weights)
    inverse = np.zeros_like(hessian)
    inverse[:-1, :-1] = np.linalg.inv(hessian[:-1, :-1])  # the logits of all actions but the last are free
    noise = inverse @ (scores.T @ (law[:, None] * scores)) @ inverse
    along = ((scores @ inverse) * weights).sum(1)
    cubic = third * np.einsum("oa,ab,ob->o", weights, noise, weights)
    shift = inverse @ ((law * (second * along - cubic / 2)) @ weights)
    curvature = (policy * centred) @ np.diag(noise) - 2 * (policy * centred) @ noise @ policy
    gradient = policy * centred
    return float(np.sqrt(gradient @ noise @ gradient / size)), float((gradient @ shift + curvature / 2) / size)


def slopes(name: str, margins: np.ndarray, numbers: Numbers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First three derivatives of the pair's loss in u_winner - u_loser."""
    if name == "ipo":
        return 2 * (margins - numbers.ipo_target), np.full_like(margins, 2.0), np.zeros_like(margins)
    p = expit(-numbers.beta * margins)
    b = numbers.beta
    return -b * p, b**2 * p * (1 - p), -(b**3) * p * (1 - p) * (1 - 2 * p)
