"""The active set: interior point on a buffer of pairs, grown by the pairs outside that violate its prices."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.designs import caratheodory, interior_point, leverage, pairs, seeds
from banditlab.designs.pairs import Problem
from banditlab.numerics import tolerances

# A round is solved to this fraction of the gap that was open before it: more precision would be thrown away.
_ROUND_FACTOR = 0.03
# The gap that the rounds work towards, whatever is asked for, so that a smaller one asks for more rounds of the same;
# once it is reached, this fraction of what is open.
_WORKING_GAP = 1e-9
_NEXT_GAP = 1e-3
# A pair leaves the buffer when its share of the group's mean weight is below this fraction of its relative slack.
_IDLE = 1e-2


class Solution(NamedTuple):
    """A symmetric pair law (S, A, A), the duality gap () certified over all pairs, and the steps taken ()."""

    pair_law: Array
    duality_gap: Array
    num_steps: Array


class _State(NamedTuple):
    """A buffer of flat pair indices (n,), the slots in use, their weights, and those no longer needed.

    `entering` (k,) are the worst pairs outside the buffer, `violating` (k,) whether each breaks the prices.
    """

    indices: Array
    active: Array
    weights: Array
    idle: Array
    entering: Array
    violating: Array
    gap: Array
    num_steps: Array


def solve(problem: Problem, gap: Array, max_steps: Array, num_entering: int | None = None) -> Solution:
    """The optimal pair law, certified to `gap` over all pairs unless `max_steps` run out first.

    At most `num_entering` pairs (default 4 d) join the buffer in a round, and it has room for them beyond the
    support that an optimal design needs; when idle pairs leave too little room, `caratheodory` makes it.
    """
    num_contexts, num_actions, size = problem.features.shape
    bound = caratheodory.support_bound(size, problem.masses.shape[0])
    capacity = bound + num_entering if num_entering else max(bound, 8 * size) + 4 * size
    num_entering = min(num_entering or 4 * size, num_contexts * num_actions)

    target = jnp.maximum(gap, tolerances.smallest_gap(gap.dtype))

    def unfinished(carry: tuple[_State, _State]) -> Array:
        state, _ = carry
        return (state.gap > target) & (state.num_steps < max_steps)

    def advance(carry: tuple[_State, _State]) -> tuple[_State, _State]:
        state, best = carry
        state = _exchange(problem, state, bound)
        criterion = pairs.criterion(problem, _differences(problem, state))
        constraint = pairs.constraint(problem, state.indices, state.active)
        tolerance = jnp.maximum(0.3 * _working(state.gap), _ROUND_FACTOR * jnp.minimum(state.gap, 1.0))
        left = max_steps - state.num_steps
        weights, count = interior_point.minimise(state.weights, criterion, constraint, tolerance, left)
        state = _price(problem, state._replace(weights=weights, num_steps=state.num_steps + count))
        better = state.gap < best.gap
        return state, jax.tree.map(lambda new, old: jnp.where(better, new, old), state, best)

    indices, weights = seeds.seed_pairs(problem, capacity)
    nothing = jnp.zeros(num_entering, indices.dtype)
    infinite = jnp.full((), jnp.inf, weights.dtype)
    state = _State(indices, weights > 0, weights, weights < 0, nothing, nothing > 0, infinite, jnp.zeros((), jnp.int32))
    state, best = jax.lax.while_loop(unfinished, advance, (state, state))
    law = jnp.zeros(problem.scale.size, weights.dtype).at[best.indices].add(best.weights)
    law = law.reshape(problem.scale.shape)
    return Solution(0.5 * (law + jnp.swapaxes(law, 1, 2)), best.gap, state.num_steps)


def _working(gap: Array) -> Array:
    """What a round works towards when `gap` is open."""
    least = tolerances.at_least(_WORKING_GAP, gap.dtype)
    return jnp.where(gap > least, least, _NEXT_GAP * gap)


def _differences(problem: Problem, state: _State) -> Array:
    return jnp.where(state.active[:, None], pairs.differences(problem, state.indices), 0.0)


def _price(problem: Problem, state: _State) -> _State:
    """Certify the weights over all pairs; find the idle ones, and the worst outside the buffer, one per table row."""
    num_groups, num_actions = problem.masses.shape[0], problem.features.shape[1]
    z = _differences(problem, state)
    table = pairs.leverage_table(problem, jnp.einsum("n,nd,ne->de", state.weights, z, z))
    flat = table.reshape(-1)
    member, masses = pairs.constraint(problem, state.indices, state.active)
    leverages = jnp.where(state.active, flat[state.indices], 0.0)
    safe_masses = jnp.where(masses > 0, masses, 1.0)
    prices = member @ (state.weights * leverages) / safe_masses
    highest = jnp.max(table, axis=(1, 2))
    highest = highest if num_groups > 1 else jnp.max(highest, keepdims=True)
    current = masses @ highest / (masses @ prices) - 1

    slack = 1 - leverages / jnp.where(state.active, prices @ member, 1.0)
    share = state.weights * ((jnp.sum(member, axis=1) / safe_masses) @ member)
    outside = flat.at[jnp.where(state.active, state.indices, flat.size)].set(0.0, mode="drop")
    excess = jnp.triu(outside.reshape(table.shape), 1) - prices[:, None, None]
    worst, row = jax.lax.top_k(jnp.max(excess, axis=2).reshape(-1), state.entering.shape[0])
    column = jnp.argmax(excess.reshape(-1, num_actions)[row], axis=1).astype(row.dtype)
    return state._replace(
        idle=state.active & (share < _IDLE * slack),
        entering=row * num_actions + column,
        violating=worst > 0.5 * _working(current) * (masses @ prices),
        # No gap below what rounding hides is certified.
        gap=jnp.maximum(jnp.where(jnp.isfinite(current), current, jnp.inf), tolerances.smallest_gap(current.dtype)),
    )


def _exchange(problem: Problem, state: _State, bound: int) -> _State:
    """Drop the idle pairs, make room if they leave too little, and let the violating pairs in with weight zero."""
    active = state.active & ~state.idle
    weights = _make_room(problem, state, jnp.where(active, state.weights, 0.0), bound)
    active &= weights > 0
    slots = jnp.argsort(active)[: state.entering.shape[0]]
    entering = state.violating & ~active[slots]
    return state._replace(
        indices=state.indices.at[slots].set(jnp.where(entering, state.entering, state.indices[slots])),
        active=active.at[slots].set(active[slots] | entering),
        weights=weights,
    )


def _make_room(problem: Problem, state: _State, weights: Array, bound: int) -> Array:
    """Reduce the support to `bound` when too few of the violating pairs fit: a loop that runs once, mostly never."""
    num_free = weights.shape[0] - jnp.sum(weights > 0)
    constraint = pairs.constraint(problem, state.indices, weights > 0)
    z = _differences(problem, state)

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        crowded, weights = carry
        rows = leverage.in_metric(jnp.einsum("n,nd,ne->de", weights, z, z), z)
        return ~crowded, caratheodory.reduce_support(weights, rows, constraint, bound)

    # Not lax.cond: under vmap that would factor every lane's matrix in every round.
    crowded = num_free < jnp.minimum(jnp.sum(state.violating), problem.features.shape[-1])
    return jax.lax.while_loop(lambda carry: carry[0], body, (crowded, weights))[1]
