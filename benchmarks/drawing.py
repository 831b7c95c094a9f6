"""Cost of drawing multinomial counts: nanoseconds per cell (heap) and per label (direct), compile time apart."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.numerics import multinomial
from benchmarks import timing

_NUM_LANES = 128
_REPEATS = 15
# cells, labels, branch: the small tables of the headline figures, then one table at growing numbers of labels
_SETTINGS = (
    (49, 800, "direct"),
    (800, 800, "direct"),
    (800, 1000, "direct"),
    (49, 800, "heap"),
    (49, 10**5, "heap"),
    (49, 10**12, "heap"),
    (800, 1000, "heap"),
    (800, 10**5, "heap"),
    (800, 10**6, "heap"),
    (800, 10**9, "heap"),
    (800, 10**12, "heap"),
)


def costs() -> list[dict[str, object]]:
    """One row per setting: minimum and median over repeats of a batch of independent draws."""
    rows = []
    for num_cells, num_labels, branch in _SETTINGS:
        capacity = 1 << (num_labels - 1).bit_length() if branch == "direct" else None
        tables, keys = _batch(num_cells)
        compiled = jax.jit(partial(_draw, capacity=capacity))
        (timed,) = timing.interleaved([partial(compiled, keys, tables, jnp.asarray(float(num_labels)))], _REPEATS)
        draw_us = 1e6 * timed.minimum / _NUM_LANES
        rows.append(
            {
                "cells": num_cells,
                "labels": float(num_labels),
                "branch": branch,
                "first_call_s": timed.first,
                "draw_us": draw_us,
                "draw_median_us": 1e6 * timed.median / _NUM_LANES,
                "ns_per_cell": 1e3 * draw_us / num_cells,
                "ns_per_label": 1e3 * draw_us / num_labels,
            }
        )
    return rows


def _batch(num_cells: int) -> tuple[Array, Array]:
    """Dirichlet tables (lanes, num_cells) and keys (lanes,)."""
    key_tables, key_draws = jax.random.split(jax.random.key(0))
    tables = jax.random.dirichlet(key_tables, jnp.ones(num_cells), (_NUM_LANES,))
    return tables, jax.random.split(key_draws, _NUM_LANES)


def _draw(keys: Array, tables: Array, num_trials: Array, *, capacity: int | None) -> Array:
    return jax.vmap(lambda key, table: multinomial.draw(key, table, num_trials, capacity=capacity))(keys, tables)
