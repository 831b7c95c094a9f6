"""Bandits on which the ratio of the gap to the bound sqrt(C eps) is known in closed form, in units of beta.

Of one context each, with mu = pi_ref: `sharp` needs the constant 1, `small_ball` a ball that holds pi and pi*, and
`uncovered` is a context that a mean over contexts hides.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax


class Case(NamedTuple):
    """Tables (A,) of log pi_ref, r* and log pi, and the closed form of gap/sqrt(C eps)."""

    log_reference: np.ndarray
    reward: np.ndarray
    log_policy: np.ndarray
    ratio: float


def sharp(reward_gap: float, constant: float) -> Case:
    """mu = (m, m, 1 - 2m), pi* ∝ (e^L, 1, 1), pi ∝ (1, L, w): the ratio tends to 1 as L, the reward gap, grows.

    C tends to 1/m, the `constant`. With w = sqrt(L) e^{-L/2} the error r* - r_hat is t, -t, 0 up to a shift, t = (L +
    log L)/2, so that eps = 4 m t^2. At m = 1/2 the third action has no mass at all.
    """
    x, third = reward_gap, float(constant > 2)
    weights = np.array([1.0, x, third * np.sqrt(x) * np.exp(-x / 2)])
    with np.errstate(divide="ignore"):
        log_reference = np.log([1 / constant, 1 / constant, 1 - 2 / constant])
        log_policy = np.log(weights / weights.sum())
        # log w from its formula: w itself underflows.
        log_policy[2] = 0.5 * np.log(x) - x / 2 - np.log(weights.sum()) if third else -np.inf
        reward = np.array([x, 0.0, 0.0]) - np.where(np.isfinite(log_reference), log_reference, 0.0)
    normaliser = x + np.log1p((1 + third) * np.exp(-x))
    cost = -x + x * np.log(x) + weights[2] * (0.5 * np.log(x) - x / 2)
    gap = cost / weights.sum() - np.log(weights.sum()) + normaliser
    least = max(np.exp(x - normaliser), x / weights.sum())
    return Case(log_reference, reward, log_policy, float(gap / (np.sqrt(least) * (x + np.log(x)))))


def sharp_shortfall(reward_gap: float) -> float:
    """Of 1 - ratio in `sharp`, at most, for L >= 1: (log L + 3)/L.

    With s = sqrt(L) e^(-L/2) <= e^(-1/2) and W = 1 + L + s the gap is at least L - L/W - log(W/L) - (1 + s) log(L)/W -
    s L/(2W), where L/W <= 1, log(W/L) <= log(1 + 1.61), log(L)/W <= 1/e and s L <= (3/e)^(3/2), W >= 2: at least L - 3.
    The bound is at most L + log L.
    """
    return float((np.log(reward_gap) + 3) / reward_gap)


def small_ball(mass: float) -> tuple[Case, Case]:
    """C = C_kl(0) for a reference (1 - m, m): the ball that misses pi*, and the one that misses pi.

    The radius is that of the one policy which is pi_ref; the other has reward R = 2 log(1/m) on the rare action. With
    Z = log(1 - m + m e^R): the gap is Z - m R if pi = pi_ref, and R m e^R/(1 - m + m e^R) - Z if pi* = pi_ref. The
    bound is R sqrt(2 m (1 - m)) for both, and the ratio tends to 1/sqrt(8 m). A third action has no mass.
    """
    reward = np.array([0.0, -2 * np.log(mass), 0.0])
    with np.errstate(divide="ignore"):
        log_reference = np.log([1 - mass, mass, 0.0])
    tilted = log_softmax(log_reference + reward)
    normaliser = np.log1p(mass * np.expm1(reward[1]))
    bound = reward[1] * np.sqrt(2 * mass * (1 - mass))
    gap = reward[1] * np.exp(tilted[1]) - normaliser
    without_target = Case(log_reference, reward, log_reference, float((normaliser - mass * reward[1]) / bound))
    return without_target, Case(log_reference, np.zeros(3), tilted, float(gap / bound))


def small_ball_rounding(mass: float) -> float:
    """Relative, of the ratios of `small_ball` where C_kl(0) is found as the root of a kl rounded to 4 ulp of 1.

    C_kl - 1 <= sqrt(8 eps/m), and half of it in the root.
    """
    return 0.5 * float(np.sqrt(8 * np.finfo(np.float64).eps / mass))


def uncovered(mass: float) -> tuple[float, float]:
    """(gap, sqrt(C eps)) of pi = (1/2, 1/2), pi_ref = (1 - p, p) and r* = 0, p = mass; both infinite for none.

    The gap is -log 2 - log(p (1 - p))/2, eps 2 p (1 - p) log^2((1 - p)/p), and C = 1/(2p).
    """
    if mass == 0:
        return np.inf, np.inf
    error = 2 * mass * (1 - mass) * np.log((1 - mass) / mass) ** 2
    return float(-np.log(2) - 0.5 * np.log(mass * (1 - mass))), float(np.sqrt(error / (2 * mass)))
