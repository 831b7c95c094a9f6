"""The best discretised Gaussian for a mixture of two, down either KL, over the separation of the two modes."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import log_ndtr, logsumexp, rel_entr

from banditlab import mode_seeking as ms

FORWARD, REVERSE = ms.DIRECTIONS
NUM_BINS = 100


def member_params(mean: float, deviation: float) -> list[float]:
    """Logits mean x/s^2 - x^2/(2 s^2): a Gaussian on the centres of the bins."""
    return [mean / deviation**2, -0.5 / deviation**2]


def mixture(separation: float, weight: float, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """(A,) log q = log(w N(-separation/2) + (1 - w) N(separation/2)), and the two components (2, A)."""
    features = ms.quadratic_features(NUM_BINS)
    params = [member_params(side * separation / 2, deviation) for side in (-1, 1)]
    components = ms.members(features, params)
    return np.asarray(logsumexp(components + np.log([[weight], [1 - weight]]), axis=0)), components


def fits(separation: float, weight: float, deviation: float) -> dict[str, ms.Fit]:
    """The forward and the reverse fit from five starts: either component, the mixture's moments, nothing."""
    features = ms.quadratic_features(NUM_BINS)
    target, _ = mixture(separation, weight, deviation)
    mean = (1 - 2 * weight) * separation / 2
    spread = np.sqrt(deviation**2 + separation**2 / 4 - mean**2)
    starts = [member_params(side * separation / 2, deviation) for side in (-1, 1)]
    starts += [member_params(mean, spread), [0.0, 0.0]]
    # With equal weights the covering start is a saddle's axis of symmetry: one start leaves it.
    starts += [member_params(mean - 0.05, spread)]
    return {direction: ms.fit(target, features, direction, starts) for direction in ms.DIRECTIONS}


def descended(log_target: np.ndarray, start: list[float]) -> np.ndarray:
    """(A,) log-policy where gradient flow down KL(pi||q) ends; a trust region may jump to another minimum."""
    features = ms.quadratic_features(NUM_BINS)

    def velocity(_: float, params: np.ndarray) -> np.ndarray:
        log_policy = ms.members(features, params)
        policy, log_ratio = np.exp(log_policy), log_policy - log_target
        return -((policy * (log_ratio - policy @ log_ratio)) @ features)

    # The flow chooses the minimum, the fit then removes the solver's error.
    solved = solve_ivp(velocity, (0.0, 1e5), start, method="LSODA", rtol=1e-5, atol=1e-5)
    return ms.fit(log_target, features, REVERSE, solved.y[:, -1:].T).log_policy[0]


def leftmost(found: ms.Fit) -> int:
    """The best fit, of equally good ones (mirror images) the one with the smallest mean."""
    means = np.exp(found.log_policy) @ ms.quadratic_features(NUM_BINS)[:, 0]
    return int(np.argmin(np.where(found.divergence <= found.divergence.min() + 1e-9, means, np.inf)))


class Quantity(NamedTuple):
    """A number of a fit with its prediction, itself where there is none, and one more that a check needs."""

    direction: str
    name: str
    value: float
    predicted: float
    aux: float


def summary(separation: float, weight: float, deviation: float) -> list[Quantity]:
    """The quantities of the two fits at one separation."""
    x = ms.quadratic_features(NUM_BINS)[:, 0]
    target, components = mixture(separation, weight, deviation)
    mean = (1 - 2 * weight) * separation / 2
    # A third of the way from mode to mode; the bins' edges, not their centres, bound it.
    valley = np.abs(x) < separation / 6
    width = valley.sum() / NUM_BINS
    inside = sum(
        share * (np.exp(log_ndtr((width - m) / deviation)) - np.exp(log_ndtr((-width - m) / deviation)))
        for share, m in ((weight, -separation / 2), (1 - weight, separation / 2))
    )
    rows = []

    def add(direction: str, quantity: str, value: float, predicted: float | None = None, aux: float = 0.0) -> None:
        rows.append(Quantity(direction, quantity, value, value if predicted is None else predicted, aux))

    for direction, found in fits(separation, weight, deviation).items():
        best = leftmost(found)
        policy = np.exp(found.log_policy[best])
        least = _scan(target, direction, deviation)
        add(direction, "divergence", found.divergence[best], least)
        # What is left is rounding, which is another number on every machine.
        add(direction, "gradient_norm", max(found.gradient_norm.max(), 1e-10))
        add(direction, "valley", policy[valley].sum(), inside)
        add(direction, "mean", round(float(policy @ x), 12) + 0.0, mean if direction == FORWARD else -separation / 2)
        add(direction, "second_moment", policy @ x**2, deviation**2 + separation**2 / 4)
        if direction == REVERSE:
            broad = descended(target, member_params(mean, np.sqrt(deviation**2 + separation**2 / 4 - mean**2)))
            add(direction, "broad start", float(np.exp(broad) @ (broad - target)), -np.log(weight))
            add(direction, "broad start's mean", round(float(np.exp(broad) @ x), 12) + 0.0)
            # KL(pi||q) = KL(pi||N_1) + log 1/w_1 - E_pi log(1 + w_2 N_2/(w_1 N_1)), which is at most log 1/w_1 for the
            # best, since the class holds N_1.
            log_odds = np.log((1 - weight) / weight) + components[1] - components[0]
            leak = policy @ np.logaddexp(0, log_odds)
            right = float(policy[x > 0].sum())
            mass = float(np.exp(target)[x > 0].sum())
            floor = float(rel_entr(right, mass) + rel_entr(1 - right, 1 - mass))
            add(direction, "seeking", found.divergence[best], -np.log(weight), round(floor, 12) + 0.0)
            add(direction, "leak", leak)
    return rows


def _scan(log_target: np.ndarray, direction: str, deviation: float) -> float:
    """The least divergence over a grid of members, an evidence that no minimum was missed."""
    means, scales = np.linspace(-1, 1, 81), np.geomspace(deviation / 2, 1.5, 40)
    params = [member_params(mean, scale) for mean in means for scale in scales]
    log_policy = ms.members(ms.quadratic_features(NUM_BINS), params)
    target = np.exp(log_target)
    if direction == FORWARD:
        return float((target * (log_target - log_policy)).sum(-1).min())
    return float((np.exp(log_policy) * (log_policy - log_target)).sum(-1).min())
