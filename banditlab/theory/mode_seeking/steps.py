"""Forward and reverse KL on a categorical: what one gradient step moves, and how fast.

pi = softmax(logits) and a target q. The negative gradients with respect to the logits are

    forward  KL(q||pi):   g_i = q_i - pi_i                                                                           (1)
    reverse  KL(pi||q):   g_i = pi_i [log(q_i/pi_i) + KL(pi||q)]                                                     (2)

A log ratio is a difference of logits, so a step eta moves log(pi_i/pi_j) by eta (g_i - g_j), exactly, whatever eta.
For pi_i = pi_j = p that is eta (q_i - q_j) forward and eta p log(q_i/q_j) reverse: with q_i > q_j, reverse moves the
ratio faster iff p exceeds the logarithmic mean of the two targets,

    p > L(q_i, q_j) = (q_i - q_j)/log(q_i/q_j) = sqrt(q_i q_j) sinh(z)/z,    z = log(q_i/q_j)/2.                     (3)

Against the target's own mass this is p/((q_i + q_j)/2) > tanh(z)/z < 1: where pi holds the pair's mass already, reverse
is faster, and where it holds too little, forward. For q = ref e^{R/beta}/Z and pi = ref, p cancels and (3) becomes

    Z = E_ref e^{R/beta} > L(e^{R_i/beta}, e^{R_j/beta}).                                                            (4)

See docs/theory.md, Proposition 44.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad, solve_ivp
from scipy.optimize import root_scalar
from scipy.special import betainc, log_softmax, logsumexp

from banditlab import validation
from banditlab.door import Finite, door

Direction = Literal["forward", "reverse"]
DIRECTIONS = ("forward", "reverse")


class StepChange(NamedTuple):
    """Change of a log mass in one step: to first order in it, exactly, and a bound on |exact - first_order|."""

    first_order: float
    exact: float
    remainder_bound: float


@door
def descent_direction(log_policy: ArrayLike, log_target: ArrayLike, direction: Direction) -> np.ndarray:
    """(A,) the negative gradient (1) or (2) of the divergence with respect to the logits.

    Args:
        log_policy, log_target: (A,) log-probabilities; they are normalised, and only the forward one may be 0 on an
            action (log_target = -inf).

    Raises:
        ValueError: for an unknown direction, shapes that differ, or KL(pi||q) = inf.
    """
    return _descent(*_pair(log_policy, log_target, direction), direction)


@door
def log_ratio_change(
    log_policy: ArrayLike, log_target: ArrayLike, direction: Direction, *, first: int, second: int, step: Finite
) -> float:
    """step (g_first - g_second): how far one step moves log(pi_first/pi_second), exactly.

    Raises:
        ValueError: as `descent_direction`, and for an action that is not one.
    """
    move = descent_direction(log_policy, log_target, direction)
    for name, action in (("first", first), ("second", second)):
        if not validation.index(name, action) < len(move):
            raise ValueError(f"{name} must be an action below {len(move)}; got {action}")
    return float(step * (move[int(first)] - move[int(second)]))


@door
def log_mass_change(
    log_policy: ArrayLike, log_target: ArrayLike, direction: Direction, *, group: ArrayLike, step: Finite
) -> StepChange:
    """How one step moves log pi(group): log E_{pi|group} e^{step g} - log E_pi e^{step g}.

    To first order step (E_{pi|group} g - E_pi g). By Hoeffding's lemma each of the two terms exceeds its first order
    by at most step^2/8 times the squared range of g, and is never below it: so much bounds the remainder.

    Args:
        group: (A,) bool, the actions whose mass is meant; one at least.

    Raises:
        ValueError: as `descent_direction`, and for an empty group or one of another shape.
    """
    policy, _ = _pair(log_policy, log_target, direction)
    move = descent_direction(log_policy, log_target, direction)
    members = np.asarray(group, bool)
    if members.shape != policy.shape or not members.any():
        raise ValueError(f"group must be {policy.shape} with an action in it; got {members.shape}, {members.sum()} in")
    inside = np.asarray(log_softmax(policy[members]))
    first_order = step * (np.exp(inside) @ move[members] - np.exp(policy) @ move)
    exact = _log_sum(inside + step * move[members]) - _log_sum(policy + step * move)
    return StepChange(float(first_order), float(exact), float((step * np.ptp(move)) ** 2 / 8))


@door
def boundary(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """The logarithmic mean (3) of two targets: reverse KL is the faster for two bins of equal mass above it.

    Args:
        first, second: positive, of shapes that broadcast; they may be equal.

    Raises:
        ValueError: for values that are not positive and finite.
    """
    high, low = np.asarray(first, float), np.asarray(second, float)
    for name, values in (("first", high), ("second", low)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{name} must be positive and finite; got {values}")
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        z = np.log(high / low) / 2
        near = np.sqrt(high * low) * np.where(z == 0, 1.0, np.sinh(z) / np.where(z == 0, 1.0, z))
    # Far apart the product, the ratio and sinh may leave the range of numbers, and differences lose no digits.
    far = np.abs(z) > 100
    return np.where(far, (high - low) / np.where(far, np.log(high) - np.log(low), 1.0), near)


@door
def critical_temperature(reward: ArrayLike, log_reference: ArrayLike, *, high: float = 1.0, low: float = 0.0) -> float:
    """The temperature below which (4) holds for two actions of equal reference mass and rewards high > low.

    With rewards in [low, high], (4) says that e^{R/beta} has a larger mean under the reference than for R uniform on
    [low, high]; as beta grows this becomes E_ref R > (high + low)/2, and then the temperature is inf.

    Args:
        reward, log_reference: (A,); some action with mass has the reward `high`, and none a larger one.

    Returns:
        The largest temperature at which the two are equal, found from above; inf if (4) holds for all large ones.

    Raises:
        ValueError: for low >= high, shapes that differ, or a largest reward under the reference other than `high`.
    """
    values, log_masses = _vector("reward", reward), _vector("log_reference", log_reference, minus_infinity=True)
    if values.shape != log_masses.shape:
        raise ValueError(f"log_reference must be {values.shape}; got {log_masses.shape}")
    if not low < high:
        raise ValueError(f"low must be below high = {high}; got {low}")
    best = values[np.isfinite(log_masses)].max(initial=-math.inf)
    if not math.isclose(best, high, abs_tol=1e-9 * (high - low)):
        raise ValueError(f"high must be the largest reward on the support of the reference, {best}; got {high}")
    log_masses = log_softmax(log_masses)
    span = high - low
    mass_of_best = np.exp(log_masses[values == values.max()]).sum()
    if not mass_of_best > 0:
        raise ValueError("log_reference must give the largest reward a mass that float64 holds; got one that is zero")

    def excess(log_beta: float) -> float:  # (log Z - log L) with e^{high/beta} taken out of both; span/beta = u
        u = span * math.exp(-log_beta)
        return _log_sum(log_masses + u * (values - high) / span) - math.log(-math.expm1(-u) / u)

    if np.exp(log_masses) @ values > (high + low) / 2:
        return math.inf
    # Below beta = span ref(best) the atom at the best reward alone decides; from above, the first change of sign.
    grid = math.log(span) + np.linspace(math.log(1e3), math.log(mass_of_best), 400)
    signs = [excess(point) > 0 for point in grid]
    place = signs.index(True) if any(signs) else len(grid) - 1
    if place == 0:
        return math.inf
    return float(math.exp(root_scalar(excess, bracket=(grid[place], grid[place - 1]), xtol=1e-14).root))


@door
def reverse_share(num_actions: int) -> float:
    """P(1/A > L(q_1, q_2)) for q uniform on the simplex: how often reverse is faster from the uniform policy.

    q_1/(q_1 + q_2) = u is uniform and independent of q_1 + q_2 ~ Beta(2, A - 2), so by (3) the share is the integral
    over u of P(Beta < 1/(A L(u, 1 - u))).

    Raises:
        ValueError: for num_actions < 3 (with two actions L(q, 1 - q) <= 1/2: the share is 1).
    """
    if validation.index("num_actions", num_actions) < 3:
        raise ValueError(f"num_actions must be at least 3; got {num_actions}")

    def given(u: float) -> float:
        return float(betainc(2, num_actions - 2, min(1.0, 1 / (num_actions * float(boundary(u, 1 - u))))))

    return 2 * quad(given, 0, 0.5, epsabs=1e-11, epsrel=1e-11, limit=200)[0]


@door
def gradient_flow(
    log_policy: ArrayLike, log_target: ArrayLike, direction: Direction, times: Sequence[float] | np.ndarray
) -> np.ndarray:
    """(T, A) log-probabilities along d logits/dt = g, (1) or (2), at increasing times >= 0.

    Raises:
        ValueError: as `descent_direction`, and for times that are negative or not increasing.
    """
    policy, target = _pair(log_policy, log_target, direction)
    wanted = _vector("times", times)
    if wanted.size == 0 or wanted[0] < 0 or (np.diff(wanted) <= 0).any():
        raise ValueError(f"times must be non-negative and increasing; got {times}")

    def velocity(_: float, logits: np.ndarray) -> np.ndarray:
        return _descent(log_softmax(logits), target, direction)

    if wanted[-1] == 0:
        return policy[None]
    solved = solve_ivp(velocity, (0.0, wanted[-1]), policy, method="DOP853", t_eval=wanted, rtol=1e-11, atol=1e-12)
    return log_softmax(solved.y.T, axis=1)


@door
def two_action_time(start: float, end: float, target: float) -> float:
    """Time in which the forward flow takes pi_1 from `start` to `end` towards q_1 = `target`, two actions.

    dp/dt = 2 p (1 - p)(q - p), so 2t is the increment of log(p)/q + log(1-p)/(1-q) - log|q-p|/(q(1-q)).

    Raises:
        ValueError: for probabilities outside (0, 1), or an `end` that is not between `start` and `target`.
    """
    if not all(0 < value < 1 for value in (start, end, target)):
        raise ValueError(f"start, end and target must be inside (0, 1); got {start}, {end}, {target}")
    if not (start <= end < target or target < end <= start):
        raise ValueError(f"end must lie between start = {start} and target = {target}; got {end}")

    def potential(p: float) -> float:
        return math.log(p) / target + math.log1p(-p) / (1 - target) - math.log(abs(target - p)) / (target - target**2)

    return (potential(end) - potential(start)) / 2


def _descent(policy: np.ndarray, target: np.ndarray, direction: Direction) -> np.ndarray:
    """(1) or (2) of normalised log-probabilities."""
    if direction == "forward":
        return np.exp(target) - np.exp(policy)
    log_ratio = target - policy
    return np.exp(policy) * (log_ratio - np.exp(policy) @ log_ratio)


def _log_sum(values: np.ndarray) -> float:
    return float(np.asarray(logsumexp(values)))


def _pair(log_policy: ArrayLike, log_target: ArrayLike, direction: str) -> tuple[np.ndarray, np.ndarray]:
    """Both as normalised log-probabilities, of a divergence that is finite."""
    validation.choice("direction", direction, DIRECTIONS)
    policy = _vector("log_policy", log_policy)
    target = _vector("log_target", log_target, minus_infinity=direction == "forward")
    if policy.shape != target.shape or policy.size == 0:
        raise ValueError(
            f"log_target must be {policy.shape}, as log_policy, with an action at least; got {target.shape}"
        )
    if np.isneginf(target).all():
        raise ValueError("log_target must leave some action mass; got -inf throughout")
    return log_softmax(policy), log_softmax(target)


def _vector(name: str, value: ArrayLike | Sequence[float], *, minus_infinity: bool = False) -> np.ndarray:
    return validation.array(name, value, ("num_actions",), minus_infinity=minus_infinity)
