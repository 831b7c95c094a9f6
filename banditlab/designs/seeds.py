"""The first active set: pairs that span every direction, and pairs that a few multiplicative steps rank highest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.designs import leverage, pairs
from banditlab.designs.pairs import Problem

# Multiplicative steps before the first active set: enough to rank the pairs; each costs a few Gram tables.
_NUM_STEPS = 6
# How many of the highest pairs are taken: optimal supports are mostly larger, but the pricing finds the rest.
_PAIRS_PER_DIMENSION = 7


def seed_pairs(problem: Problem, capacity: int) -> tuple[Array, Array]:
    """Distinct flat indices (capacity,) of pairs (x, i < j), and their weights (capacity,), zero in unused slots.

    d pairs span the space, each group has a pair, and the others rank highest by weight, at most one per row
    (x, i) of the table: sorting all the pairs would cost more than the whole solve.
    """
    num_contexts, num_actions, size = problem.features.shape
    law = multiplicative_steps(problem)
    above_diagonal = jnp.triu(jnp.ones((num_actions, num_actions), bool), 1)
    ranked = jnp.where(above_diagonal[None], law, -1.0).reshape(-1, num_actions)
    best = jnp.arange(ranked.shape[0]) * num_actions + jnp.argmax(ranked, axis=1)
    value = jnp.max(ranked, axis=1)
    required = spanning_pairs(problem)
    if problem.masses.shape[0] > 1:
        top_row = jnp.argmax(value.reshape(num_contexts, num_actions), axis=1)
        required = jnp.concatenate([required, best[jnp.arange(num_contexts) * num_actions + top_row]])
    wanted = min(_PAIRS_PER_DIMENSION * size, capacity - required.shape[0], value.shape[0])
    rows = jax.lax.top_k(value, wanted)[1]
    chosen = jnp.sort(jnp.concatenate([required, best[rows]])).astype(jnp.int32)
    weights = jnp.where(jnp.diff(chosen, prepend=-1) > 0, jnp.maximum(law.reshape(-1)[chosen], 0.0), 0.0)
    padding = (0, capacity - chosen.shape[0])
    return jnp.pad(chosen, padding), jnp.pad(weights, padding)


def multiplicative_steps(problem: Problem) -> Array:
    """A symmetric pair law (S, A, A) after a few steps w <- w q / E_w q from the uniform law, within each group."""

    def normalised(law: Array) -> Array:
        totals = jnp.sum(law, axis=(1, 2))
        if problem.masses.shape[0] == 1:
            totals = jnp.sum(totals)
            return law / jnp.where(totals > 0, totals, 1.0)
        return law * (problem.masses / jnp.where(totals > 0, totals, 1.0))[:, None, None]

    def step(_: int, law: Array) -> Array:
        moment = leverage.pair_moment(problem.features, problem.scale * law)
        stepped = normalised(law * pairs.leverage_table(problem, moment))
        # Where even the uniform law has a singular moment matrix, stay there.
        return jnp.where(jnp.all(jnp.isfinite(stepped)), stepped, law)

    uniform = normalised(jnp.where(problem.scale > 0, 1.0, 0.0).astype(problem.scale.dtype))
    return jax.lax.fori_loop(0, _NUM_STEPS, step, uniform)


def spanning_pairs(problem: Problem) -> Array:
    """Flat indices (d,) of pairs that span the space: each is long along a direction not yet spanned."""
    num_actions, size = problem.features.shape[1:]
    degrees = jnp.sum(problem.scale, axis=2)

    def extend(step: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        chosen, unspanned = carry
        # The columns of a projection lie in its range; the longest is the best conditioned.
        direction = unspanned[:, jnp.argmax(jnp.diagonal(unspanned))]
        height = problem.features @ direction
        # The row (x, i) with the largest sum of squares scale (h_i - h_j)^2, expanded; then the best j in it.
        powers = jnp.stack([height, height**2], axis=2)
        linear, square = jnp.moveaxis(jnp.einsum("xab,xbk->xak", problem.scale, powers), 2, 0)
        row = jnp.argmax(degrees * height**2 - 2 * height * linear + square)
        context, first = row // num_actions, row % num_actions
        second = jnp.argmax(problem.scale[context, first] * (height[context] - height[context, first]) ** 2)
        residual = unspanned @ (problem.features[context, first] - problem.features[context, second])
        square = residual @ residual
        outer = residual[:, None] * residual[None, :] / jnp.where(square > 0, square, 1.0)
        ordered = context * num_actions**2 + jnp.minimum(first, second) * num_actions + jnp.maximum(first, second)
        return chosen.at[step].set(ordered), unspanned - outer

    start = (jnp.zeros(size, jnp.arange(1).dtype), jnp.eye(size, dtype=problem.features.dtype))
    return jax.lax.fori_loop(0, size, extend, start)[0]
