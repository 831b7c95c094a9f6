"""General classes of implicit rewards (docs/theory.md, section 6): coverage and version spaces of finite classes.

NumPy only. The error of a function f is e = f - f*, (S, A); on a pair its deviation is |Delta_f - Delta*| =
|e(x, y) - e(x, y')|, so a shift c(x) is no error. Deviations below the rounding of the tables count as zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from banditlab import validation
from banditlab.door import door
from banditlab.environment import Environment

__all__ = [
    "agreement",
    "deviation_coverage",
    "disagreement",
    "failure_bounds",
    "l2_coverage",
    "smallest_disagreement",
    "survivor_law",
]

# f - f* of tables of size s carries rounding of eps s, and a difference of two of them twice that.
_ROUNDING = 64 * np.finfo(np.float64).eps
# Differences of two deviations, at most 4 s, are squared.
_LARGEST = float(np.finfo(np.float64).max) ** 0.5 / 8
_MOST_FUNCTIONS = 12  # of a law over the subsets of the class: 2^12 of them


@door
def l2_coverage(
    env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policy: ArrayLike, log_target: ArrayLike
) -> float:
    """sup_f E_x Var_{pi*}(f - f*) / E_x Var_pi(f - f*); +inf where only the denominator is 0, 0 if nothing differs.

    For a linear class the supremum over all parameters is C_op(pi), `coverage.operator`.

    Args:
        env: gives the context probabilities.
        rewards: (M, S, A) the class F; it may contain f*.
        truth: (S, A) f*.
        log_policy, log_target: (S, A) log-probabilities of pi and pi*.

    Raises:
        ValueError: naming the argument whose shape, sign or total is wrong.
    """
    errors, sizes = _errors(env, rewards, truth)
    covered = _variances(env, errors, sizes, _probabilities(env, "log_target", log_target))
    covering = _variances(env, errors, sizes, _probabilities(env, "log_policy", log_policy))
    return _largest_ratio(covered, covering)


@door
def deviation_coverage(
    env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policy: ArrayLike, log_target: ArrayLike
) -> float:
    """sup_{f,t} P_{pi*}(|Delta_f - Delta*| > t) / P_pi(|Delta_f - Delta*| > t), the pair iid from the policy given x.

    This project's reading of "deviation-based coverage". Both tails are step functions that jump at the deviations
    of f, so the supremum over t >= 0 is a maximum over these. +inf where only the denominator is 0, 0 if nothing
    differs. Arguments and errors as in `l2_coverage`.
    """
    errors, sizes = _errors(env, rewards, truth)
    named = {"log_policy": log_policy, "log_target": log_target}
    laws = [_pairs(env, _probabilities(env, name, policy)).ravel() for name, policy in named.items()]
    largest = 0.0
    for deviations, size in zip(_deviations(errors), sizes, strict=True):
        order = np.argsort(-deviations, axis=None)
        ordered = deviations.ravel()[order]
        # P(> t) for t just below a deviation: all that are larger or, up to rounding, equal.
        last = (ordered > size) & np.append(ordered[:-1] - ordered[1:] > size, True)
        below, above = (np.cumsum(law[order])[last] for law in laws)
        largest = max(largest, _largest_ratio(above, below))
    return largest


@door
def disagreement(env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policy: ArrayLike) -> np.ndarray:
    """p_f = P(Delta_f != Delta*) for every f, (M,), the pair iid from pi given x; arguments as in `l2_coverage`."""
    errors, sizes = _errors(env, rewards, truth)
    law = _pairs(env, _probabilities(env, "log_policy", log_policy))
    return np.sum((_deviations(errors) > sizes[:, None, None, None]) * law, axis=(1, 2, 3))


@door
def smallest_disagreement(env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policy: ArrayLike) -> float:
    """p0 = min of `disagreement` over the f that differ from f* modulo c(x) where the class has mass; 1 if none does.

    0 if pi never shows the difference of some f.
    """
    wrong = _differing(env, rewards, truth)
    return float(np.min(disagreement(env, rewards, truth, log_policy), where=wrong, initial=1.0))


@door
def failure_bounds(
    env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policy: ArrayLike, num_pairs: float
) -> tuple[float, float]:
    """Bounds on P(some f != f* modulo c(x) agrees with n noiseless pairs): |F| (1-p0)^n and sum_f (1-p_f)^n.

    The sum is over the f that differ, |F| the number M of tables given; the first bound is never below the second.
    """
    num_pairs = validation.whole("num_pairs", num_pairs)
    wrong = _differing(env, rewards, truth)
    missed = (1.0 - disagreement(env, rewards, truth, log_policy)[wrong]) ** num_pairs
    crude = (1.0 - smallest_disagreement(env, rewards, truth, log_policy)) ** num_pairs
    return float(len(wrong) * crude), float(missed.sum())


@door
def agreement(env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policy: ArrayLike) -> np.ndarray:
    """q_U = P(Delta_f = Delta* for all f in U) for every subset U, (2^M,): bit m of the index says that f_m is in U."""
    errors, sizes = _errors(env, rewards, truth)
    if len(errors) > _MOST_FUNCTIONS:
        raise ValueError(f"rewards must hold at most {_MOST_FUNCTIONS} functions for a law; got {len(errors)}")
    law = _pairs(env, _probabilities(env, "log_policy", log_policy)).ravel()
    agrees = (_deviations(errors) <= sizes[:, None, None, None]).reshape(len(errors), -1)
    agreeing = (agrees * (1 << np.arange(len(errors)))[:, None]).sum(axis=0)
    return _over_supersets(np.bincount(agreeing, law, 1 << len(errors)), 1.0)


@door
def survivor_law(
    env: Environment, rewards: ArrayLike, truth: ArrayLike, log_policies: ArrayLike, num_pairs: float, num_rounds: int
) -> np.ndarray:
    """Exact law of the version space after 0 .. num_rounds rounds of num_pairs noiseless pairs, (num_rounds + 1, 2^M).

    All of U survive n pairs with probability q_U^n (`agreement`); inclusion and exclusion over the supersets turn
    that into the law of the set of survivors, and a round intersects. Rounding is of order 2^M eps, absolute.

    Args:
        log_policies: (2^M, S, A), the policy that samples a round when the survivors are the index's bits: a
            constant one is off-policy data.
    """
    num_pairs, num_rounds = validation.whole("num_pairs", num_pairs), validation.steps("num_rounds", num_rounds)
    num_functions = len(_errors(env, rewards, truth)[0])
    if num_functions > _MOST_FUNCTIONS:
        raise ValueError(f"rewards must hold at most {_MOST_FUNCTIONS} functions for a law; got {num_functions}")
    sets = np.arange(1 << num_functions)
    wanted = (len(sets), env.num_contexts, env.num_actions)
    if np.shape(log_policies) != wanted:
        raise ValueError(
            f"log_policies must be {wanted}, one for every set of the {num_functions} functions of rewards; "
            f"got {np.shape(log_policies)}"
        )
    tables = validation.array("log_policies", log_policies, wanted, minus_infinity=True)
    step = np.zeros((len(sets), len(sets)))
    for start, table in zip(sets, tables, strict=True):
        survive = agreement(env, rewards, truth, table) ** num_pairs
        step[start] = np.bincount(sets & start, _over_supersets(survive, -1.0), len(sets))
    laws = [np.where(sets == sets[-1], 1.0, 0.0)]
    for _ in range(num_rounds):
        laws.append(laws[-1] @ step)
    return np.stack(laws)


def _over_supersets(values: np.ndarray, sign: float) -> np.ndarray:
    """Sum of values (2^M,) over the supersets of every set; sign = -1 inverts it, alternating."""
    values = np.array(values)
    for bit in range(len(values).bit_length() - 1):
        halves = values.reshape(-1, 2, 1 << bit)
        halves[:, 0] += sign * halves[:, 1]
    return values


def _errors(env: Environment, rewards: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """e (M, S, A), and for every f the deviation (M,) that rounding alone explains."""
    table = (env.num_contexts, env.num_actions)
    tables, truth = validation.array("rewards", rewards, ("M", *table)), validation.array("truth", truth, table)
    sizes = np.maximum(np.abs(tables).max(axis=(1, 2)), np.abs(truth).max())
    if not sizes.max() < _LARGEST:
        raise ValueError(f"rewards and truth must be below {_LARGEST:.2g}; got {sizes.max()}")
    return tables - truth, _ROUNDING * sizes


def _probabilities(env: Environment, name: str, log_policy: ArrayLike) -> np.ndarray:
    """(S, A) of a table of log-probabilities."""
    table = validation.array(name, log_policy, (env.num_contexts, env.num_actions), minus_infinity=True)
    totals = np.exp(table).sum(axis=1)
    if np.abs(totals - 1).max() > 1e-6:
        raise ValueError(f"{name} must be log-probabilities, summing to 1 in every context; got sums {totals}")
    return np.exp(table)


def _pairs(env: Environment, policy: np.ndarray) -> np.ndarray:
    """(S, A, A) rho(x) pi(y|x) pi(y'|x)."""
    return np.asarray(env.context_probs)[:, None, None] * policy[:, :, None] * policy[:, None, :]


def _deviations(errors: np.ndarray) -> np.ndarray:
    """(M, S, A, A) |Delta_f - Delta*|."""
    return np.abs(errors[:, :, :, None] - errors[:, :, None, :])


def _variances(env: Environment, errors: np.ndarray, sizes: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """(M,) E_x Var_pi(e) = half of E (Delta_f - Delta*)^2: a sum over pairs, exactly 0 where pi shows no difference."""
    deviations = _deviations(errors)
    squares = np.where(deviations > sizes[:, None, None, None], deviations, 0.0) ** 2
    return 0.5 * np.sum(squares * _pairs(env, policy), axis=(1, 2, 3))


def _differing(env: Environment, rewards: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """(M,) whether f differs from f* modulo c(x) on a pair of the policy class, rho(x) > 0."""
    errors, sizes = _errors(env, rewards, truth)
    allowed = (np.asarray(env.context_probs)[:, None] > 0) & np.isfinite(np.asarray(env.log_base))
    pairs = allowed[:, :, None] & allowed[:, None, :]
    return np.any((_deviations(errors) > sizes[:, None, None, None]) & pairs, axis=(1, 2, 3))


def _largest_ratio(covered: np.ndarray, covering: np.ndarray) -> float:
    """max covered / covering, +inf where only `covering` is 0; 0 / 0 does not count."""
    if np.any((covering == 0) & (covered > 0)):
        return float("inf")
    return float(np.max(covered / np.where(covering > 0, covering, 1.0), initial=0.0))


def __dir__() -> list[str]:
    return __all__
