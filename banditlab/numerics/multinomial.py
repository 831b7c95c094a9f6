"""Exact drawing of multinomial counts over a table of cells, in one of two ways.

`direct` sorts labels into cells and costs a few nanoseconds a label; `heap` splits the labels down a binary tree
of cells by conditional binomials and costs a fixed time a cell, whatever the number of labels.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from banditlab.numerics import binomial, vectorised
from banditlab.numerics.compilation import LOOPS, inner

# Measured on one core under a vmap of 128: sorting costs 5 ns a label and 5 ns a cell, a lookup 9 ns a label, the heap
# 50 to 120 ns a cell. The first limit also keeps the direct branch's memory within four times the table's.
_DIRECT_LABELS_PER_CELL = 4
_DIRECT_LABELS = 1024


def choose_capacity(num_trials: float, num_cells: int) -> int | None:
    """Faster branch of `draw` for a concrete number of labels.

    Args:
        num_trials: number of labels, a concrete finite number >= 0.
        num_cells: number of cells of the table.

    Returns:
        The next power of two >= num_trials for the direct branch, or None for the heap.

    Raises:
        ValueError: if `num_trials` is not a finite number >= 0.
    """
    if not 0 <= num_trials < math.inf:
        raise ValueError(f"num_trials must be a finite number >= 0; got {num_trials}")
    capacity = 1 << max(math.ceil(num_trials) - 1, 0).bit_length()
    return capacity if capacity <= _DIRECT_LABELS_PER_CELL * num_cells + _DIRECT_LABELS else None


def draw(key: jax.Array, probs: jax.Array, num_trials: float | jax.Array, *, capacity: int | None) -> jax.Array:
    """Draw counts ~ Multinomial(num_trials, probs); labels of the missing mass 1 - sum(probs) are dropped.

    Args:
        key: a typed PRNG key.
        probs: (num_cells,) non-negative, summing to at most one; a sum within rounding of one counts as one.
            A cell of probability zero never receives a label.
        num_trials: whole number of labels, at most `capacity` or 1e15; may be traced.
        capacity: static upper bound on `num_trials` for the direct branch, None for the heap.

    Returns:
        (num_cells,) whole numbers as floats; num_trials minus their sum is the number of dropped labels.

    Raises:
        ValueError: on a table that is not a vector, or a concrete `num_trials` above `capacity`.
    """
    if probs.ndim != 1:
        raise ValueError(f"probs must be (num_cells,); got {probs.shape}")
    if capacity is not None and isinstance(num_trials, int | float) and num_trials > capacity:
        raise ValueError(f"num_trials must be at most the capacity {capacity}; got {num_trials}")
    return _draw(key, probs, jnp.asarray(num_trials, probs.dtype), capacity=capacity)


@inner(LOOPS, static="capacity")
def _draw(key, probs, num_trials, *, capacity):
    missing = 1 - probs.sum(keepdims=True)
    rounding = 8 * jnp.finfo(probs.dtype).eps * math.sqrt(probs.size)
    cells = jnp.concatenate([probs, jnp.where(missing > rounding, missing, 0.0)])
    if capacity is None:
        counts = _draw_heap(key, cells, num_trials)
    elif capacity <= cells.size:
        counts = _draw_labels(key, cells, num_trials, capacity)
    else:
        counts = _draw_sorted(key, cells, num_trials, capacity)
    return counts[:-1]


def _draw_labels(key, cells, num_trials, capacity):
    """One uniform a label, looked up in the cumulative table."""
    cumulative = _cumulative(cells)
    uniform = jax.random.uniform(key, (capacity,), cells.dtype) * cumulative[-1]
    cell = vectorised.rank(cumulative, uniform, inclusive=True)
    weight = (jnp.arange(capacity, dtype=cells.dtype) < num_trials).astype(cells.dtype)
    return jnp.zeros_like(cells).at[cell].add(weight)


def _draw_sorted(key, cells, num_trials, capacity):
    """Counts between the cumulative table's entries of sorted uniforms.

    The order statistics of n uniforms are U_(k) = S_k / S_{n+1}, S_k the partial sums of n + 1 exponentials.
    """
    # One call for all exponentials, of even size: the generator pads odd ones.
    exponentials = -vectorised.log(1 - jax.random.uniform(key, (capacity + 2,), cells.dtype))
    sums = vectorised.prefix_sum(exponentials[:capacity])
    drawn = jnp.arange(capacity, dtype=cells.dtype) < num_trials
    last = jnp.maximum(num_trials, 1).astype(jnp.int32) - 1
    total = sums[last] + exponentials[capacity]
    cumulative = _cumulative(cells)
    rank = vectorised.rank(jnp.where(drawn, sums, jnp.inf), cumulative * (total / cumulative[-1]), inclusive=False)
    # The last cell of positive probability ends at total, whatever the rounding of the product above.
    rank = jnp.where(cumulative == cumulative[-1], num_trials, rank.astype(cells.dtype))
    return jnp.diff(rank, prepend=0.0)


def _draw_heap(key, cells, num_trials):
    """Conditional binomials down a binary heap: node i splits into 2i and 2i + 1, the leaves are the cells.

    Blocks of consecutive nodes are drawn in order. A block may only hold nodes whose counts are known: the first
    ones start at 1, 2, 4, .., and what they write below nodes not yet reached is overwritten later. The loop
    compiles a single binomial.
    """
    num_cells = cells.size
    block = min(256, max(16, 1 << ((num_cells.bit_length() + 1) // 2)))
    starts = [start for start in (1 << i for i in range(block.bit_length() - 1)) if start < num_cells]
    starts += range(block, num_cells, block)
    num_nodes = starts[-1] + block

    left, right = _heap_sums(cells).reshape(num_cells, 2).T
    both = left + right
    rarer = jnp.where(both > 0, jnp.minimum(left, right) / jnp.where(both > 0, both, 1.0), 0.0)
    rarer = jnp.pad(rarer, (0, num_nodes - num_cells))
    right_rarer = jnp.pad(left > right, (0, num_nodes - num_cells))
    first_nodes = jnp.asarray(starts)

    def split_block(i, counts):
        start = first_nodes[i]
        trials, prob, swap = (lax.dynamic_slice(x, (start,), (block,)) for x in (counts, rarer, right_rarer))
        drawn = binomial.draw_rarer(jax.random.fold_in(key, i), trials, prob)
        in_left = jnp.where(swap, trials - drawn, drawn)
        children = jnp.stack([in_left, trials - in_left], axis=-1).reshape(-1)
        return lax.dynamic_update_slice(counts, children, (2 * start,))

    counts = jnp.zeros(2 * num_nodes, cells.dtype).at[1].set(num_trials)
    return lax.fori_loop(0, len(starts), split_block, counts)[num_cells : 2 * num_cells]


def _heap_sums(cells):
    """(2 * num_cells,) sums below each heap node, bottom up: one minus a prefix would lose the rare cells."""
    num_cells = cells.size
    num_shallow = (1 << (num_cells - 1).bit_length()) - num_cells  # leaves one level above the deepest
    deepest = cells[num_shallow:]
    levels = [deepest, jnp.concatenate([deepest[0::2] + deepest[1::2], cells[:num_shallow]])]
    while levels[-1].size > 1:
        levels.append(levels[-1][0::2] + levels[-1][1::2])
    return jnp.concatenate([jnp.zeros_like(cells[:1]), *levels[::-1]])


def _cumulative(cells):
    """Cumulative table in whole multiples of about 2^-52, the grid of the uniforms.

    Sums of whole numbers are exact in any order: the table never decreases, and stays put at a cell of zero.
    """
    scale = 2.0 ** jnp.finfo(cells.dtype).nmant
    return vectorised.prefix_sum(jnp.round(cells * (scale / cells.sum())))
