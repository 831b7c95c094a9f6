"""Rounds of DPO with a ridge in plain NumPy, all runs side by side: what the drawn curves are held against.

Of the library it takes an environment's arrays and nothing else: no sampler, no draw, no estimator.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, softmax

import banditlab as bl

_MAX_STEPS = 200
_SMALL = 1e-9  # change of a margin, after which a Newton step more is rounding


class Bandit(NamedTuple):
    """The arrays of an environment, by its names."""

    features: np.ndarray
    context_probs: np.ndarray
    log_base: np.ndarray
    log_reference: np.ndarray
    log_initial: np.ndarray
    log_target: np.ndarray
    reward: np.ndarray
    start_params: np.ndarray
    beta: float


def bandit(env: bl.Environment) -> Bandit:
    """The arrays of an environment whose reference plays every action."""
    return Bandit(**{name: np.asarray(getattr(env, name)) for name in Bandit._fields[:-1]}, beta=float(env.beta))


def kl_of_rounds(
    arms: Bandit, *, on_policy: bool, pooled: bool, num_pairs: int, ridge: float, num_rounds: int, runs: int, seed: int
) -> np.ndarray:
    """(runs, num_rounds) E_x KL(pi* || pi) after every round of `num_pairs` labels.

    Args:
        on_policy: pairs from the current policy; from the first one otherwise.
        pooled: fit all labels so far; the last round's alone otherwise.
        ridge: weight of the ridge on the sum of losses, centred at the last iterate; positive.
    """
    rng = np.random.default_rng(seed)
    wins_law = expit(arms.reward[:, :, None] - arms.reward[:, None, :])
    params = np.broadcast_to(arms.start_params, (runs, arms.start_params.size))
    sampler = np.broadcast_to(np.exp(arms.log_initial), (runs, *arms.reward.shape))
    wins, divergence = np.zeros((runs, *wins_law.shape)), []
    for _ in range(num_rounds):
        law = arms.context_probs[None, :, None, None] * sampler[:, :, :, None] * sampler[:, :, None, :]
        counts = rng.multinomial(num_pairs, law.reshape(runs, -1)).reshape(law.shape)
        won = rng.binomial(counts, wins_law[None])
        wins = (wins if pooled else 0.0) + won + np.swapaxes(counts - won, 2, 3)
        params = _fit(arms, wins, ridge, params)
        policy = np.einsum("xad,kd->kxa", arms.features, params) + arms.log_base[None]
        if on_policy:
            sampler = softmax(policy, axis=2)
        target = np.exp(arms.log_target)
        gaps = target[None] * (arms.log_target[None] - log_softmax(policy, axis=2))
        divergence.append(np.einsum("x,kxa->k", arms.context_probs, gaps))
    return np.stack(divergence, axis=1)


def _fit(arms: Bandit, wins: np.ndarray, ridge: float, centre: np.ndarray) -> np.ndarray:
    """(runs, d) minimiser of the sum of logistic losses plus ridge/2 ||theta - centre||^2, by damped Newton steps.

    A step that moves a margin by c is shortened to log(1 + c)/c of it: |l'''| <= l'' makes it descend from any start.
    """
    offset = arms.log_base - arms.log_reference
    differences = arms.features[:, :, None] - arms.features[:, None]  # (S, A, A, d)
    shift = offset[:, :, None] - offset[:, None]
    params, identity = centre.copy(), np.eye(centre.shape[1])
    change = np.full(len(params), np.inf)
    for _ in range(_MAX_STEPS):
        margins = arms.beta * (np.einsum("xijd,kd->kxij", differences, params) + shift[None])
        lost = expit(-margins)
        gradient = ridge * (params - centre) - arms.beta * np.einsum("kxij,xijd->kd", wins * lost, differences)
        weights = arms.beta**2 * wins * lost * (1 - lost)
        scaled = np.einsum("kxij,xijd->kxijd", weights, differences).reshape(len(params), -1, identity.shape[0])
        hessian = ridge * identity[None] + scaled.swapaxes(1, 2) @ differences.reshape(-1, identity.shape[0])
        step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        change = arms.beta * np.abs(np.einsum("xijd,kd->kxij", differences, step)).max(axis=(1, 2, 3))
        params = params + (np.log1p(change) / np.where(change > 0, change, 1.0))[:, None] * step
        if change.max() < _SMALL:
            return params
    raise RuntimeError(f"plain fits that did not converge: {(change >= _SMALL).sum()} of {len(params)}")
