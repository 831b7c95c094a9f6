"""One pair whose labels all went one way: where HyPO stops, and the penalty below which it never does.

At logit gap h relative to the reference, s = log ref(winner)/ref(loser) and D = h + s, the slope of log(1 + e^{-beta
h}) + lambda KL(pi||pi_ref) is lambda h sigma'(D) - beta sigma(-beta h): a stationary point has lambda = L(h),

    L(h) = beta sigma(-beta h) / (h sigma'(h + s)),    (log L)' = tanh((h + s)/2) - 1/h - beta sigma(beta h) =: f(h).

f increases, because beta^2 sigma'(beta h) < 0.44/h^2 < 1/h^2, so L has at most one minimum. With beta >= 1, f <=
sigma(-h) - 1/h < 0: L falls to zero, and every lambda > 0 has one stationary point. With beta < 1, f ends at 1 - beta
> 0: L has a minimum; a smaller lambda stops nothing, at a larger one descent from the reference stops at the smaller
of two roots (docs/theory.md, Proposition 40).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from scipy.optimize import root_scalar
from scipy.special import expit, log_expit

from banditlab import validation
from banditlab.door import door

# Beyond, the steps of the root finder are lost in the rounding of the odds.
_LARGEST_ODDS = 1e6

__all__ = ["critical_penalty", "escape_gap", "stationary_gap"]


@door
def critical_penalty(beta: float, log_odds: float = 0.0) -> float:
    """min_h L(h): for lambda below it no KL penalty stops the DPO loss; 0 for beta >= 1.

    Args:
        beta: training temperature, positive.
        log_odds: s, 0 for a uniform reference.

    Raises:
        ValueError: for beta <= 0, or log_odds beyond 1e6.
    """
    _, turn = _checked(0.0, beta, log_odds)
    if math.isinf(turn):
        return 0.0
    least = _log_ratio(turn, beta, log_odds)
    return math.exp(least) if least < math.log(sys.float_info.max) else math.inf


@door
def stationary_gap(penalty: float, beta: float, log_odds: float = 0.0) -> float:
    """The gap h at which gradient flow from the reference stops, the smaller root of L(h) = lambda; inf without one.

    Raises:
        ValueError: for penalty < 0 or beta <= 0.
    """
    penalty, turn = _checked(penalty, beta, log_odds)
    if penalty == 0 or (math.isfinite(turn) and math.log(penalty) < _log_ratio(turn, beta, log_odds)):
        return math.inf
    low = min(1.0, turn)
    while _log_ratio(low, beta, log_odds) < math.log(penalty):
        low /= 2
    high = turn if math.isfinite(turn) else low
    while math.isinf(turn) and _log_ratio(high, beta, log_odds) > math.log(penalty):
        high *= 2
    return _root(low, high, penalty, beta, log_odds)


@door
def escape_gap(penalty: float, beta: float, log_odds: float = 0.0) -> float:
    """The gap h beyond which it grows for ever, the larger root of L(h) = lambda; 0 if from every start, inf if never.

    Raises:
        ValueError: for penalty < 0 or beta <= 0.
    """
    penalty, turn = _checked(penalty, beta, log_odds)
    if penalty == 0 or (math.isfinite(turn) and math.log(penalty) < _log_ratio(turn, beta, log_odds)):
        return 0.0
    if math.isinf(turn):
        return math.inf
    high = turn
    while _log_ratio(high, beta, log_odds) < math.log(penalty):
        high *= 2
    return _root(turn, high, penalty, beta, log_odds)


def _turning_gap(beta: float, log_odds: float) -> float:
    """Where L is smallest: the root of f, or inf for beta >= 1."""
    if beta >= 1:
        return math.inf

    def slope(h: float) -> float:  # 1 - beta apart from what vanishes: near beta = 1 little else is left
        return (1 - beta) + beta * float(expit(-beta * h)) - 2 * float(expit(-(h + log_odds))) - 1 / h

    low, high = 1.0, 1.0
    while slope(low) > 0:
        low /= 2
    while slope(high) < 0:
        high *= 2
    return _bracketed(slope, low, high)


def _log_ratio(h: float, beta: float, log_odds: float) -> float:
    """log L(h)."""
    curvature = log_expit(h + log_odds) + log_expit(-(h + log_odds))
    return float(math.log(beta) + log_expit(-beta * h) - math.log(h) - curvature)


def _root(low: float, high: float, penalty: float, beta: float, log_odds: float) -> float:
    goal = math.log(penalty)
    return _bracketed(lambda h: _log_ratio(h, beta, log_odds) - goal, low, high)


def _bracketed(function: Callable[[float], float], low: float, high: float) -> float:
    if low == high:
        return low
    return float(root_scalar(function, bracket=(low, high), xtol=1e-300, rtol=1e-14, maxiter=1000).root)


def _checked(penalty: float, beta: float, log_odds: float) -> tuple[float, float]:
    """The penalty, and where L is smallest."""
    penalty = validation.positive("penalty", penalty, zero=True)
    if not abs(validation.number("log_odds", log_odds)) <= _LARGEST_ODDS:
        raise ValueError(f"log_odds must be between -1e6 and 1e6; got {log_odds}")
    return penalty, _turning_gap(validation.positive("beta", beta), log_odds)


def __dir__() -> list[str]:
    return __all__
