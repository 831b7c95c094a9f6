"""The best member of a class pi_theta ∝ e^{phi theta} for a target it cannot express: covering and seeking modes.

With c = phi - E_pi phi and l = log(pi/q), the two divergences have, in theta,

    KL(q||pi):   gradient E_pi phi - E_q phi,    Hessian Cov_pi phi                  (convex: moments are matched)   (5)
    KL(pi||q):   gradient E_pi[c l],             Hessian E_pi[c c' (l - E_pi l)] + Cov_pi phi     (a minimum a mode) (6)

so forward KL has one minimum and reverse KL in general several. See docs/theory.md, section 8.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax, xlogy

from banditlab import validation
from banditlab.door import Shape, door
from banditlab.theory.mode_seeking.steps import DIRECTIONS, Direction


class Fit(NamedTuple):
    """Minima found from K starts: params (K, d), log_policy (K, A), divergence (K,), gradient_norm (K,), best ()."""

    params: np.ndarray
    log_policy: np.ndarray
    divergence: np.ndarray
    gradient_norm: np.ndarray
    best: int


@door
def quadratic_features(num_actions: int) -> np.ndarray:
    """(A, 2) columns x and x^2 of the centres x of A equal bins of [-1, 1]: the discretised Gaussians, where they curve
    downwards.

    Raises:
        ValueError: for num_actions < 3, which leaves the class able to express everything.
    """
    if validation.index("num_actions", num_actions) < 3:
        raise ValueError(f"num_actions must be at least 3; got {num_actions}")
    x = (np.arange(num_actions) + 0.5) * 2 / num_actions - 1
    return np.stack([x, x**2], axis=1)


@door
def members(
    features: Annotated[np.ndarray, Shape(("A", "d"), validation.finite)],
    params: Annotated[np.ndarray, Shape(("...", "d"), validation.finite)],
) -> np.ndarray:
    """(..., A) log pi_theta of params (..., d) in the class of features (A, d)."""
    return log_softmax(np.asarray(params, float) @ np.asarray(features, float).T, axis=-1)


@door
def fit(log_target: ArrayLike, features: ArrayLike, direction: Direction, starts: ArrayLike) -> Fit:
    """Minimise KL(q||pi_theta) ("forward") or KL(pi_theta||q) ("reverse") from every start, by a trust region.

    Args:
        log_target: (A,) log q, normalised here; -inf is allowed in the forward direction alone.
        features: (A, d), whose differences span R^d.
        starts: (K, d).

    Returns:
        The minimum reached from each start; gradient_norm says how exactly, `best` which has the least divergence. A
        class that can also tend to a point mass may lie lower there: compare with -log max q (reverse).

    Raises:
        ValueError: for an unknown direction, wrong shapes, a target without mass where it needs some, or numbers so
            large that float64 cannot hold the square of a derivative of the divergence.
    """
    validation.choice("direction", direction, DIRECTIONS)
    phi = validation.array("features", features, ("num_actions", "num_features"))
    log_q = validation.array("log_target", log_target, (len(phi),), minus_infinity=direction == "forward")
    if np.isneginf(log_q).all():
        raise ValueError("log_target must leave some action mass; got -inf throughout")
    log_q = log_softmax(log_q)
    first = validation.array("starts", starts, ("num_starts", phi.shape[1]))
    derivatives = _forward if direction == "forward" else _reverse
    options = {"gtol": 1e-12, "maxiter": 500}
    with np.errstate(over="ignore", invalid="ignore"):
        # The trust region squares the Hessian.
        squares = [np.square(part) for start in first for part in derivatives(phi, log_q, start)]
        if not all(np.isfinite(square).all() for square in squares):
            raise ValueError("log_target, features and starts must be of a size that float64 can square; got overflow")

    def one(start: np.ndarray) -> np.ndarray:
        def value(theta):
            return derivatives(phi, log_q, theta)[0]

        def gradient(theta):
            return derivatives(phi, log_q, theta)[1]

        def hessian(theta):
            return derivatives(phi, log_q, theta)[2]

        found = minimize(value, start, method="trust-exact", jac=gradient, hess=hessian, options=options).x
        # Values stop telling points apart at the root of the rounding; a Newton step does not look at them.
        _, slope, curvature = derivatives(phi, log_q, found)
        nearer = found - np.linalg.lstsq(curvature, slope)[0]
        return min(found, nearer, key=lambda theta: float(np.linalg.norm(derivatives(phi, log_q, theta)[1])))

    found = np.stack([one(start) for start in first])
    ends = [derivatives(phi, log_q, theta) for theta in found]
    values = np.asarray([end[0] for end in ends])
    norms = np.asarray([np.linalg.norm(end[1]) for end in ends])
    return Fit(found, members(phi, found), values, norms, int(np.argmin(values)))


def _forward(phi: np.ndarray, log_q: np.ndarray, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """KL(q||pi_theta), its gradient and its Hessian (5)."""
    log_pi, q = members(phi, theta), np.exp(log_q)
    pi = np.exp(log_pi)
    centred = phi - pi @ phi
    return float((xlogy(q, q) - q * log_pi).sum()), (pi - q) @ phi, centred.T @ (pi[:, None] * centred)


def _reverse(phi: np.ndarray, log_q: np.ndarray, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """KL(pi_theta||q), its gradient and its Hessian (6)."""
    log_pi = members(phi, theta)
    pi, log_ratio = np.exp(log_pi), log_pi - log_q
    centred, value = phi - pi @ phi, float(pi @ log_ratio)
    weights = pi * (log_ratio - value)
    return value, weights @ centred, centred.T @ ((weights + pi)[:, None] * centred)
