"""An accurate implicit reward of a bad policy: two actions, pi_ref = (1 - p, p), rewards (0, r), pi = (1/2, 1/2).

As p falls, the error eps of the implicit reward on pairs of pi_ref falls to 0, and the gap grows by (beta/2) log 10 a
decade.
"""

import numpy as np


def predicted(beta: float, reward: float, mass: float) -> tuple[float, float, float]:
    """(gap, eps, sqrt(C eps)) in closed form, with a = reward/beta and p = mass.

    gap = beta [-log 2 - log(p (1 - p))/2 - a/2 + log(1 + p (e^a - 1))];
    eps = 2 p (1 - p) (reward - beta log((1 - p)/p))^2; C = max(1/2, pi*)/pi_ref at its worst action.
    """
    if mass == 0:
        return np.inf, 0.0, np.inf
    tilt = reward / beta
    normaliser = np.log1p(mass * np.expm1(tilt))
    gap = beta * (-np.log(2) - 0.5 * np.log(mass) - 0.5 * np.log1p(-mass) - 0.5 * tilt + normaliser)
    error = 2 * mass * (1 - mass) * (reward - beta * (np.log1p(-mass) - np.log(mass))) ** 2
    constant = np.exp(max(-np.log(2 * mass), -np.log(2 * (1 - mass)), -normaliser, tilt - normaliser))
    return gap, error, float(np.sqrt(constant * error))


def slope_remainder(beta, reward, mass):
    """How far gap(p/10) - gap(p) can be from (beta/2) log 10, for p = mass, from the closed form of the gap.

    Numbers, or arrays of one shape. The difference is beta [log((1 - p)/(1 - p/10))/2 + log((1 + u/10)/(1 + u))], u =
    p (e^a - 1) > -p; a logarithm of a quotient is at most the difference of its two sides over the smaller: .45 p/(1 -
    p) and .9 |u|/(1 + min(u, 0)).
    """
    shift = mass * np.expm1(reward / beta)
    return beta * (0.45 * mass / (1 - mass) + 0.9 * np.abs(shift) / (1 + np.minimum(shift, 0.0)))
