"""Exact laws on the Zhu-Jordan-Jiao instance (docs/theory.md, Propositions 56, 57), by summation over its two outcomes.

theta* = (-1, 0.1) and beta = 1. Of n labels, n - 1 compare a_1 = (1,1) with a_2 = (1,0), so a_1 wins w ~
Binomial(n - 1, sigma(0.1)) of them; the last compares a_2 with a_3 = (0,0), and a_2 wins it with probability
sigma(-1), independently. The likelihood is a product of a factor in theta_2 and one in theta_1, and every learner
here is a function of (w, last label). Everything is NumPy and SciPy: nothing is shared with the simulator it checks.
The gap is that of the reward, not of J: r*(a_4) - E_pi r*, between 0 and 1.1.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import expit, wrightomega
from scipy.stats import binom

from banditlab import validation

FEATURES = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
TARGET = np.array([-1.0, 0.1])
GAPS = (FEATURES @ TARGET).max() - FEATURES @ TARGET
# The greedy policy's expected gap in the limit of many labels: the one label on theta_1 goes wrong.
LIMIT = float(expit(TARGET[0]))

# Hoeffding: a binomial of m trials leaves its mean by more than 6 sqrt(m) with probability below 2 exp(-72).
_DEVIATIONS = 6.0


class Outcomes(NamedTuple):
    """The likelihood estimates capped at ||theta|| <= R, one per outcome: params (K, 2) and their probs (K,).

    num_labels is n, as it may be infinite.
    """

    params: np.ndarray
    probs: np.ndarray
    num_labels: float


def outcomes(num_labels: float, max_norm: float) -> Outcomes:
    """Both values of the last label for every w within 6 sqrt(n - 1) of its mean; the rest has mass below 1e-30.

    n = inf is the limit of many labels, theta_hat_2 = 0.1. Raises ValueError unless n >= 2 is whole or infinite and
    max_norm exceeds 0.1.
    """
    validation.whole("num_labels", num_labels, infinite=True)
    validation.positive("max_norm", max_norm)
    if num_labels < 2 or max_norm <= TARGET[1]:
        got = f"num_labels = {num_labels}, max_norm = {max_norm}"
        raise ValueError(f"num_labels must be at least 2 and max_norm above {TARGET[1]}; got {got}")
    rate = expit(TARGET[1])
    if np.isinf(num_labels):
        second, probs = TARGET[1:], np.ones(1)
        first = np.sqrt(max_norm**2 - second**2)
    else:
        trials = int(num_labels) - 1
        reach = _DEVIATIONS * np.sqrt(trials)
        wins = np.arange(max(0, int(trials * rate - reach)), min(trials, int(trials * rate + reach) + 1) + 1)
        probs = binom.pmf(wins, trials, rate)
        first, second = capped_estimate(wins, trials, max_norm)
    params = np.concatenate([np.stack([sign * first, second], axis=1) for sign in (1.0, -1.0)])
    return Outcomes(params, np.concatenate([LIMIT * probs, (1 - LIMIT) * probs]), num_labels)


def capped_estimate(wins: np.ndarray, trials: int, max_norm: float) -> tuple[np.ndarray, np.ndarray]:
    """(|theta_1|, theta_2) of the maximum over the ball, each (K,), for w = wins (K,) of trials.

    One label alone sends theta_1 to infinity, so the maximum is on the sphere, at theta = R (cos a, sin a), a of the
    sign of w - m/2. There w - m sigma(theta_2) = nu theta_2 and sigma(-theta_1) = nu theta_1 with one multiplier nu:
    the angle is the root of sigma(-R cos a) sin a - (w - m sigma(R sin a)) cos a, found by bisection.
    """
    sign = np.where(2 * wins >= trials, 1.0, -1.0)
    more = np.where(sign > 0, wins, trials - wins)
    low, high = np.zeros(len(wins)), np.full(len(wins), np.pi / 2)
    for _ in range(60):
        middle = 0.5 * (low + high)
        cosine, sine = np.cos(middle), np.sin(middle)
        beyond = expit(-max_norm * cosine) * sine > (more - trials * expit(max_norm * sine)) * cosine
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return max_norm * np.cos(low), np.where(2 * wins == trials, 0.0, sign * max_norm * np.sin(low))


def greedy_gaps(law: Outcomes) -> np.ndarray:
    """(K,) gap of the greedy policy, ties shared. Only the signs of theta_hat matter, so any cap, or none, gives it."""
    return _greedy(law.params @ FEATURES.T)


def pessimistic_gaps(law: Outcomes, width: float, ridge: float, comparison: np.ndarray) -> np.ndarray:
    """(K,) gap of argmax_a theta'(phi_a - v) - width ||phi_a - v||_{G^{-1}}, G = diag(1, n - 1) + ridge Id.

    comparison (4,) is the law nu of an action with mean feature v.
    """
    offset = FEATURES - comparison @ FEATURES
    spread = np.sqrt(offset[:, 0] ** 2 / (1 + ridge) + offset[:, 1] ** 2 / (law.num_labels - 1 + ridge))
    return _greedy(law.params @ offset.T - width * spread)


def chi_po_gaps(law: Outcomes, temperature: float) -> np.ndarray:
    """(K,) gap of pi = W(exp((r_hat - lambda)/b))/4 at the uniform reference; lambda by bisection, W by SciPy.

    Its mean in the limit is LIMIT at least, whatever the temperature: the two outcomes' rewards are images of each
    other under a_1 <-> a_4, a_2 <-> a_3, so it is p m + (1 - p)(1 - m) + 0.1 (masses of the 2nd and 3rd), p =
    sigma(-1), m >= 1/2.
    """
    scaled = law.params @ FEATURES.T / temperature
    # No ratio is above 4 and some ratio is at least 1: phi(1) <= max r/b - lambda/b <= phi(4).
    low, high = scaled.max(axis=1) - (4 + np.log(4)), scaled.max(axis=1) - 1
    for _ in range(50):
        middle = 0.5 * (low + high)
        beyond = wrightomega(scaled - middle[:, None]).sum(axis=1) > 4
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    policy = wrightomega(scaled - low[:, None])
    return policy / policy.sum(axis=1, keepdims=True) @ GAPS


def mean_and_deviation(law: Outcomes, gaps: np.ndarray) -> tuple[float, float]:
    """E gap and its standard deviation for gaps (K,)."""
    mean = float(law.probs @ gaps)
    return mean, float(np.sqrt(law.probs @ (gaps - mean) ** 2))


def expected_gaps(
    law: Outcomes,
    greedy: str,
    pessimists: Mapping[str, tuple[float, np.ndarray]],
    ridge: float,
    temperatures: Mapping[str, float],
) -> dict[str, tuple[float, float]]:
    """Name -> expected gap and its standard deviation: of the greedy policy, called `greedy`; of pessimists, each of a
    width and measured from a comparison (4,); of chi-PO at temperatures."""
    gaps = {greedy: greedy_gaps(law)}
    gaps |= {name: pessimistic_gaps(law, width, ridge, nu) for name, (width, nu) in pessimists.items()}
    gaps |= {name: chi_po_gaps(law, temperature) for name, temperature in temperatures.items()}
    return {name: mean_and_deviation(law, values) for name, values in gaps.items()}


def playable_widths(max_norm: float, ridge: float) -> tuple[float, float]:
    """Below the first width pessimism measured from a_3 may play a_1 for ever; from the second on neither a_1 nor a_2.

    With width >= R sqrt(2 (1 + ridge)), R the cap max_norm, the bound of a_1 is at most R sqrt 2 - width/sqrt(1 +
    ridge) <= 0, and of a_2 at most R - width/sqrt(1 + ridge) < 0. Below R sqrt(1 + ridge) a_1 stays playable.
    """
    edge = max_norm * (1 + ridge) ** 0.5
    return edge, 2**0.5 * edge


def _greedy(values: np.ndarray) -> np.ndarray:
    best = values >= values.max(axis=1, keepdims=True) - 1e-9
    return best @ GAPS / best.sum(axis=1)
