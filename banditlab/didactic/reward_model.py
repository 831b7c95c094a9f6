"""A reward model fitted to Bradley-Terry labels, whose rewards then decide the pairs of a run."""

from __future__ import annotations

from typing import Annotated, cast

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.didactic.problem import Line, LogLine, Problem
from banditlab.didactic.settings import Settings
from banditlab.door import Count, Key, Positive, Shape, Squarable, door

__all__ = ["draw_wins", "fit", "learned"]

_NEWTON_STEPS = 20

Counts = Annotated[Array, Shape(("A", "A"), validation.non_negative)]
Features = Annotated[Array, Shape(("A", "d"), validation.finite)]


@door
def fit(wins: Counts, features: Features, ridge: Squarable = 1e-2) -> Array:
    """(A,) r = phi w, w the minimiser of sum_ij W_ij softplus(-(r_i - r_j)) + (ridge / 2) ||w||^2, by Newton steps.

    The steps are damped by log(1 + m) / m, m the largest change of a margin, which keeps them from overshooting.

    Args:
        wins: (A, A) counts of i beats j.
        features: (A, d) phi; the identity fits a table.
        ridge: positive; rewards are on the scale of the labels' temperature.
    """
    dtype = features.dtype
    both = wins + wins.T

    def step(_: int, weights: Array) -> Array:
        rewards = features @ weights
        chance = jax.nn.sigmoid(rewards[:, None] - rewards[None, :])
        slope = jnp.sum(both * chance - wins, axis=1)
        bend = both * chance * (1.0 - chance)
        laplacian = jnp.diag(jnp.sum(bend, axis=1)) - bend
        hessian = features.T @ laplacian @ features + ridge * jnp.eye(features.shape[1], dtype=dtype)
        change = _solve(hessian, features.T @ slope + ridge * weights)
        largest = jnp.maximum(jnp.ptp(features @ change), jnp.finfo(dtype).tiny)
        return weights - change * jnp.log1p(largest) / largest

    return features @ jax.lax.fori_loop(0, _NEWTON_STEPS, step, jnp.zeros(features.shape[1], dtype))


def _solve(matrix: Array, right: Array) -> Array:
    """Conjugate gradients: products only, because a batched LAPACK call stops two CPU devices dead in a loop."""

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        solution, residual, direction = state
        image = matrix @ direction
        size, bend = residual @ residual, direction @ image
        length = size / jnp.where(bend > 0, bend, 1.0)
        left = residual - length * image
        direction = left + (left @ left) / jnp.where(size > 0, size, 1.0) * direction
        return solution + length * jnp.where(bend > 0, state[2], 0.0), left, direction

    start = jnp.zeros_like(right), right, right
    return jax.lax.fori_loop(0, right.shape[0], step, start)[0]


@door
def draw_wins(key: Key, reward: Line, log_probs: LogLine, temperature: Positive, num_pairs: Count) -> Array:
    """(A, A) counts of Bradley-Terry labels of num_pairs pairs of independent draws; a tie is a fair coin."""
    validation.tables("num_pairs", num_pairs)
    key_draws, key_labels = jax.random.split(key)
    first, second = jax.random.categorical(key_draws, log_probs, shape=(2, num_pairs))
    chance = jax.nn.sigmoid((reward[first] - reward[second]) / temperature)
    first_wins = jax.random.bernoulli(key_labels, chance)
    winner, loser = jnp.where(first_wins, first, second), jnp.where(first_wins, second, first)
    return jnp.zeros((reward.shape[0],) * 2, reward.dtype).at[winner, loser].add(1.0)


@door
def learned(
    key: Key, problem: Problem, settings: Settings, features: Features, num_pairs: Count, ridge: Squarable = 1e-2
) -> Array:
    """(A,) rewards of the fit to num_pairs Bradley-Terry labels of pairs of reference draws, in R's units."""
    if len(features) != len(problem.reward):
        raise ValueError(f"features must be ({len(problem.reward)}, d), as problem is; got {features.shape}")
    wins = draw_wins(key, problem.reward, problem.log_reference, cast(Array, settings.temperature), num_pairs)
    return fit(wins, features, ridge) * settings.temperature


def __dir__() -> list[str]:
    return __all__
