"""Exact laws of the reward after Adam's first step from the reference, one state: by enumeration of the draws.

Adam's first direction is g / (|g| + 1e-8): almost the sign of the gradient, however large the loss.
"""

from __future__ import annotations

import numpy as np

from banditlab.exact import best_of_n as best_of_n_law

_EPSILON = 1e-8


def pairwise(
    reward: np.ndarray, reference: np.ndarray, rate: float, *, scale: float | None = None
) -> tuple[float, float]:
    """(mean, standard deviation) of E_pi R after one step on two draws: the better goes up, the worse down.

    The gradient in their logits is -+|R_i - R_j| / 2 for REINFORCE and PPO with each draw's advantage over the other,
    -+`scale` for losses of pairs; equal rewards leave the policy.
    """
    gap = reward[:, None] - reward[None, :]
    size = np.abs(gap) / 2 if scale is None else np.full(gap.shape, scale)
    moved = rate * np.sign(gap) * size / (size + _EPSILON)
    up, down = reference[:, None] * np.expm1(moved), reference * np.expm1(-moved)
    start = reference @ reward
    after = (start + up * reward[:, None] + down * reward) / (1 + up + down)
    after = np.where(np.eye(len(reward), dtype=bool), start, after)
    return _moments(after, reference[:, None] * reference)


def best_of_n(reward: np.ndarray, reference: np.ndarray, rate: float, num_samples: int) -> tuple[float, float]:
    """(mean, standard deviation) of E_pi R after one step on the best of N draws, which goes up; all others go down."""
    steps = np.eye(len(reference)) - reference
    moved = rate * steps / (np.abs(steps) + _EPSILON)
    weights = reference * np.exp(moved)
    after = weights @ reward / weights.sum(axis=1)
    return _moments(after, best_of_n_law.law(reward, reference, num_samples))


def _moments(values: np.ndarray, law: np.ndarray) -> tuple[float, float]:
    mean = float((law * values).sum() / law.sum())
    return mean, float(np.sqrt((law * (values - mean) ** 2).sum() / law.sum()))
