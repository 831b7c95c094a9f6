"""The largest pi/pi_ref in a KL ball, enclosed without C_kl's root."""

import numpy as np

# kl in double precision: two terms with three roundings each, and their sum.
_ULP = 2.0**-53
# The library's bisection ends with a bracket of this width for q.
_BRACKET = 2.0**-60


def enclosure(reference: np.ndarray, context_probs: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of sup pi/pi_ref over the policies with E_x KL(pi || pi_ref) <= radius, (...) both.

    In one action of mass p the policies tilted by t there, q = p e^t/(1 - p + p e^t), are in the ball while rho(x)
    [t q - log(1 - p + p e^t)] <= radius: their q/p is reached. For every t > 0 no policy in the ball has more than
    (radius/rho(x) + log(1 - p + p e^t))/(t p), by Donsker and Varadhan's variational formula. Both at the largest t.

    Args:
        reference: (..., S, A), zeros allowed: such an action is in no ball.
        context_probs: (..., S) rho.
        radius: at least 0; inf for the whole simplex.
    """
    rho = np.broadcast_to(context_probs[..., None], reference.shape)
    counted = (reference > 0) & (reference < 1) & (rho > 0)
    p = np.where(counted, reference, 0.5)
    budget = radius / np.where(counted, rho, 1.0)
    whole = budget >= -np.log(p)
    tilt = _largest_tilt(p, np.where(whole, 0.0, budget))
    normaliser = np.log1p(p * np.expm1(tilt))
    safe = np.where(tilt > 0, tilt, 1.0)
    with np.errstate(invalid="ignore"):  # an infinite budget is `whole`
        above = np.where(tilt > 0, (budget + normaliser) / (safe * p), 1.0)
    low, high = (np.where(whole, 1 / p, end) for end in (np.exp(tilt - normaliser), above))
    return tuple(np.where(counted, end, 1.0).max(axis=(-1, -2)) for end in (low, high))


def tolerated(reference: np.ndarray, context_probs: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """`enclosure` widened by what a bisection in double precision may lose: (...) both.

    A root of kl rounded to 8 ulp of 1 + radius/rho is one of another radius, at most 8 ulp of 1 + radius away; the
    bracket of q is absolute.
    """
    least = np.where((reference > 0) & (context_probs[..., None] > 0), reference, 1.0).min(axis=(-1, -2))
    if np.isinf(radius):
        low, high = enclosure(reference, context_probs, radius)
        return low * (1 - 1e-12), high * (1 + 1e-12)
    lost = 8 * _ULP * (1 + radius)
    low = enclosure(reference, context_probs, max(radius - lost, 0.0))[0]
    high = enclosure(reference, context_probs, radius + lost)[1]
    return low * (1 - 1e-12) - _BRACKET / least, high * (1 + 1e-12)


def _largest_tilt(p: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """The largest t with t q - log(1 - p + p e^t) <= budget < log 1/p, by bisection from within the ball."""
    low, high = np.zeros_like(p), np.full_like(p, 700.0)
    for _ in range(80):
        middle = 0.5 * (low + high)
        normaliser = np.log1p(p * np.expm1(middle))
        inside = middle * p * np.exp(middle - normaliser) - normaliser <= budget
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low
