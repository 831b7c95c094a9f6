"""Two bins of equal mass p under pi and targets q_1 > q_2: policies and targets in which one gradient step is compared.

Reverse moves log(pi_1/pi_2) faster than forward iff p exceeds the logarithmic mean of the targets.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax

from banditlab.exact.bisection import bisection

_HALVINGS = 60


def points(ratios: np.ndarray, covers: np.ndarray, *, mass: float, num_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, A) log-policies and log-targets at q_1/q_2 = ratios (N,), p/((q_1 + q_2)/2) = covers (N,), p = `mass`."""
    mean = mass / covers
    first, second = 2 * mean * ratios / (1 + ratios), 2 * mean / (1 + ratios)
    others = num_bins - 2
    policy = np.r_[np.full(2, mass), np.full(others, (1 - 2 * mass) / others)]
    rest = np.tile(((1 - 2 * mean) / others)[:, None], others)
    targets = np.concatenate([first[:, None], second[:, None], rest], axis=1)
    return np.log(np.tile(policy, (len(ratios), 1))), np.log(targets)


def coordinates(log_policy: np.ndarray, log_targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) ratios and covers, of which `points` is the inverse, of targets (N, A) and one policy (A,)."""
    first, second = np.exp(log_targets[:, :2]).T
    return first / second, np.exp(log_policy[0]) / np.exp(log_targets[:, :2]).mean(1)


def twinned(reward: np.ndarray, log_reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reward and log-reference with a twin of the best action, of its mass and the last action's reward.

    The twin comes first but one, the best action first; the last action gives up the twin's mass, so that the law of
    the reward under the reference stays what it was.
    """
    reward, masses = np.asarray(reward), np.exp(np.asarray(log_reference))
    best = int(np.argmax(reward))
    rest = masses.copy()
    rest[-1] -= masses[best]
    order = np.r_[best, np.delete(np.arange(len(reward)), best)]
    reward = np.insert(reward[order], 1, reward[-1])
    return reward, np.log(np.insert(rest[order], 1, masses[best]))


def tilted(reward: np.ndarray, log_reference: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """(N, A) log of pi_ref e^{R/beta}/Z at every temperature."""
    return log_softmax(log_reference + reward / betas[:, None], axis=1)


def bisected(excess: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N,) zeros of an increasing function, elementwise and geometrically."""
    return bisection(lambda x: excess(x) >= 0, low, high, _HALVINGS, geometric=True)


def zero(excess: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> float:
    """The zero between `low` and `high` by `bisected`, which ends at its upper end where there is none: inf then."""
    found = bisected(excess, np.asarray([low]), np.asarray([high]))[0]
    return np.inf if found > 0.99 * high else float(found)
