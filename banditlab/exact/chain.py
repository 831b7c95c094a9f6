"""Exact laws of on-policy and offline DPO on the two-action chain (docs/theory.md, Proposition 53), by summation.

The chain has phi in {0, 1}, a uniform reference and pi_theta(1) = sigma(theta). A labelled pair is
informative when its two actions differ, with probability 2 p (1 - p) at p = sigma(theta), and action 1 then
wins with probability sigma(beta theta*). The capped maximum of the likelihood of m informative pairs of which
action 1 won w is clip(logit(w/m)/beta, -R, R), and theta stays where it was if m = 0: with n pairs a round,
theta_k is a Markov chain on about 0.3 n^2 points. Everything is NumPy and SciPy: nothing is shared with the
simulator it checks but the door.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_expit, logit
from scipy.stats import binom

from banditlab import validation

# Hoeffding: a binomial of m trials leaves its mean by more than 6 sqrt(m) with probability below 2 exp(-72).
_DEVIATIONS = 6.0


class ChainLaw(NamedTuple):
    """A law, or one law per round, on finitely many parameters.

    params (num_states,) are the values of theta; probs (..., num_states) sum to one along the last axis.
    """

    params: np.ndarray
    probs: np.ndarray


def state_space(num_pairs: int, *, beta: float, max_norm: float, initial: float) -> tuple[np.ndarray, np.ndarray]:
    """Every theta reachable in rounds of num_pairs pairs: equal fractions w/m and all capped values merged.

    Returns params (num_states,), increasing, and index (num_pairs + 1, num_pairs + 1) with params[index[m,
    w]] = clip(logit(w/m)/beta, -R, R) for 0 <= w <= m, m >= 1; index[0, 0] is the initial theta, entries w >
    m are -1. Raises ValueError on bad input.
    """
    num_pairs = int(validation.whole("num_pairs", num_pairs))
    _check_fit(beta, max_norm, initial)
    trials, wins = (indices[1:] for indices in np.tril_indices(num_pairs + 1))
    divisor = np.gcd(trials, wins)  # lowest terms first, so that equal fractions give equal floats
    params = np.clip(logit((wins // divisor) / (trials // divisor)) / beta, -max_norm, max_norm)
    states, position = np.unique(np.append(params, initial), return_inverse=True)
    index = np.full((num_pairs + 1, num_pairs + 1), -1)
    index[trials, wins] = position[:-1]
    index[0, 0] = position[-1]
    return states, index


def on_policy_law(
    num_pairs: int, num_rounds: int, *, target: float, beta: float, max_norm: float, initial: float = 0.0
) -> ChainLaw:
    """The law of theta after each of num_rounds rounds of on-policy DPO on fresh batches of num_pairs pairs.

    P(theta_{k+1}) = sum_m P(m) P(w | m) with P(m) = sum_theta P(theta_k = theta) Binomial(m; n, 2 p (1 - p)):
    theta enters through the number m of informative pairs only, so a round costs states x n, 0.3 n^3 in all,
    and as much memory. target is theta*, initial is theta_0, max_norm is R (inf: no cap, and +-inf absorbs).
    Returns probs (num_rounds, num_states), row k after k + 1 rounds. Raises ValueError on bad input.
    """
    params, index = state_space(num_pairs, beta=beta, max_norm=max_norm, initial=initial)
    num_rounds = int(validation.whole("num_rounds", num_rounds))
    validation.array("target", target, ())
    count = np.arange(num_pairs + 1)
    num_informative = binom.pmf(count, num_pairs, _informative_rate(params)[:, None])
    wins_given = binom.pmf(count, count[1:, None], expit(beta * target))
    possible = index[1:] >= 0
    current = (params == initial).astype(float)
    probs = np.empty((num_rounds, params.size))
    for k in range(num_rounds):
        informative = current @ num_informative
        moved = (informative[1:, None] * wins_given)[possible]
        stayed = current * num_informative[:, 0]
        current = stayed + np.bincount(index[1:][possible], weights=moved, minlength=params.size)
        probs[k] = current
    return ChainLaw(params, probs)


def offline_law(num_labels: int, *, target: float, beta: float, max_norm: float, initial: float = 0.0) -> ChainLaw:
    """The law of theta fitted to num_labels pairs from pi_0: offline DPO after k rounds of num_labels / k.

    The same double binomial sum as on_policy_law, in one batch. Outcomes farther than 6 sqrt(m) from their
    conditional mean are left out: together they have mass below 1e-30 (without a cap, separable outcomes of
    infinite KL may be among them: use quantiles). Values of theta are not merged, so that 1e5 labels remain
    possible. Returns probs (num_states,). Raises ValueError on bad input.
    """
    num_labels = int(validation.whole("num_labels", num_labels))
    _check_fit(beta, max_norm, initial)
    win_rate = expit(float(validation.array("target", target, ())) * beta)
    rate = _informative_rate(initial)
    trials = _central_range(num_labels, rate)
    mass = binom.pmf(trials, num_labels, rate)
    params, probs = [], []
    for m, informative in zip(trials, mass, strict=True):
        wins = _central_range(m, win_rate)
        fitted = np.clip(logit(wins / m) / beta, -max_norm, max_norm) if m > 0 else np.array([initial])
        params.append(fitted)
        probs.append(informative * binom.pmf(wins, m, win_rate))
    return ChainLaw(np.concatenate(params), np.concatenate(probs))


def kl_target(params: np.ndarray, target: float) -> np.ndarray:
    """KL(pi*||pi_theta) (I2) for each theta of any shape; +inf at theta = +-inf."""
    one = expit(target) * (log_expit(target) - log_expit(params))
    return one + expit(-target) * (log_expit(-target) - log_expit(-params))


def mean(law: ChainLaw, values: np.ndarray) -> np.ndarray:
    """E[values(theta)] under each law: values (num_states,), possibly +inf; returns probs' leading shape."""
    # A value of +inf counts only where it has mass.
    return (law.probs * np.where(law.probs > 0, values, 0.0)).sum(axis=-1)


def quantile(law: ChainLaw, values: np.ndarray, level: float) -> np.ndarray:
    """The smallest v among values (num_states,) with P(values(theta) <= v) >= level; probs' leading shape."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(law.probs[..., order], axis=-1)
    # Compared with the mass actually summed, so that level = 1 survives rounding.
    position = (cumulative < level * cumulative[..., -1:]).sum(axis=-1)
    return values[order][position]


def absorbed_mass(law: ChainLaw, max_norm: float) -> np.ndarray:
    """P(|theta| = R), the mass at the norm cap (at +-inf without one); probs' leading shape."""
    return law.probs[..., np.abs(law.params) == max_norm].sum(axis=-1)


def label_price(*, target: float, beta: float, initial: float = 0.0) -> float:
    """C_F = V*/H (I6) on the chain: V* = sigma'(theta*), H = 2 beta^2 sigma'(theta_0) sigma'(beta theta*)."""
    information = 2 * beta**2 * _slope(initial) * _slope(beta * target)
    return float(_slope(target) / information)


def relative_remainder(num_labels: int, *, target: float, beta: float, max_norm: float, initial: float = 0.0) -> float:
    """The O(1/n) remainder of I6 for offline DPO, exactly: n E KL(pi*||pi_hat) / (C_F/2) - 1.

    Raises ValueError unless |theta*| < R < inf: uncapped the mean is infinite.
    """
    if not abs(target) < max_norm < np.inf:
        raise ValueError(f"max_norm must be finite and above |target| = {abs(target)}; got {max_norm}")
    law = offline_law(num_labels, target=target, beta=beta, max_norm=max_norm, initial=initial)
    exact = num_labels * mean(law, kl_target(law.params, target))
    return float(exact / (0.5 * label_price(target=target, beta=beta, initial=initial)) - 1.0)


def _slope(score: float | np.ndarray) -> np.ndarray:
    """sigma'(score) = sigma(score) sigma(-score)."""
    return expit(score) * expit(-np.asarray(score))


def _informative_rate(params: float | np.ndarray) -> np.ndarray:
    return 2 * _slope(params)


def _central_range(num_trials: int, rate: float | np.ndarray) -> np.ndarray:
    reach = _DEVIATIONS * np.sqrt(num_trials)
    low = max(0, int(np.floor(num_trials * rate - reach)))
    high = min(num_trials, int(np.ceil(num_trials * rate + reach)))
    return np.arange(low, high + 1)


def _check_fit(beta: float, max_norm: float, initial: float) -> None:
    validation.positive("beta", beta)
    validation.positive("max_norm", max_norm, infinite=True)
    if abs(validation.array("initial", initial, ())) > max_norm:
        raise ValueError(f"initial must lie within max_norm = {max_norm}; got {initial}")
