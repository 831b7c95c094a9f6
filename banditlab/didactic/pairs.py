"""All N(N-1)/2 pairs of a state's draws, and who wins them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic.problem import Number

LABEL_MODES = ("deterministic", "bradley_terry", "reward_model")


class Labels(NamedTuple):
    """Outcomes of the pairs (i, j), i < j, in the order of `np.triu_indices`.

    Attributes:
        first_wins: (B, P) one if draw i beats draw j, else zero.
        kept: (B, P) one if the pair counts, zero if it was dropped.
    """

    first_wins: Array
    kept: Array


def label(rewards: Array, threshold: Number = 0.0) -> Labels:
    """Deterministic labels of (B, N) rewards: the larger wins; pairs that differ by at most `threshold` drop out."""
    gap = difference(rewards)
    return Labels((gap > 0).astype(rewards.dtype), (jnp.abs(gap) > threshold).astype(rewards.dtype))


def label_noisily(uniform: Array, rewards: Array, temperature: Number, threshold: Number = 0.0) -> Labels:
    """Bradley-Terry labels: i beats j with probability sigma((r_i - r_j) / temperature).

    A tie is a fair coin and counts, two draws of one action included; only pairs that differ by less than
    `threshold` drop out. uniform: (B, P) draws from [0, 1) that decide.
    """
    gap = difference(rewards)
    first_wins = uniform < jax.nn.sigmoid(gap / temperature)
    return Labels(first_wins.astype(rewards.dtype), (jnp.abs(gap) >= threshold).astype(rewards.dtype))


def count(num_samples: int) -> int:
    """P = N (N - 1) / 2."""
    return num_samples * (num_samples - 1) // 2


def difference(values: Array) -> Array:
    """(B, P) v_i - v_j of the pairs, from (B, N); exact up to the one rounding of a difference."""
    first, second = _selections(values)
    return values @ (first - second)


def winners(values: Array, labels: Labels) -> tuple[Array, Array]:
    """(B, P) values of the winners and of the losers, from (B, N)."""
    first, second = (values @ selection for selection in _selections(values))
    wins = labels.first_wins > 0
    return jnp.where(wins, first, second), jnp.where(wins, second, first)


def mean(values: Array, labels: Labels) -> Array:
    """The mean of (B, P) over the pairs that count; zero if none does."""
    total = jnp.sum(labels.kept)
    return jnp.sum(labels.kept * values) / jnp.where(total > 0, total, 1.0)


def _selections(values: Array) -> tuple[Array, Array]:
    """(N, P) matrices that pick i and j of the pairs: products compile and run faster than gathers and their
    transposes."""
    num_samples = values.shape[1]
    first, second = np.triu_indices(num_samples, 1)
    unit = np.eye(num_samples)
    return jnp.asarray(unit[:, first], values.dtype), jnp.asarray(unit[:, second], values.dtype)
