"""Certified D-optimal designs over all within-context pairs: compile and run time, and the gap that was certified."""

from __future__ import annotations

import jax

from banditlab import designs, instances
from benchmarks import timing

SIZES = ((10, 20, 10), (20, 50, 20), (50, 64, 32))
NAMES = ("triple", "joint", "conditional_pairs", "conditional_nodes")


def costs(names: tuple[str, ...] = NAMES, repeats: int = 7) -> list[dict[str, object]]:
    """One row per design and size (S, A, d), unit-norm Gaussian features; times in seconds. The size is small for the
    three designs that no speed is promised of."""
    return [_cost(name, size, repeats) for name in names for size in (SIZES if name == "triple" else SIZES[:1])]


def _cost(name: str, size: tuple[int, int, int], repeats: int) -> dict[str, object]:
    env = instances.random_features(*size)
    solve = jax.jit(getattr(designs, name))
    (timed,) = timing.interleaved([lambda: solve(env)], repeats)
    design = solve(env)
    return {
        "design": name,
        "size (S, A, d)": str(size),
        "first call": timed.first,
        "minimum": timed.minimum,
        "median": timed.median,
        "steps": int(design.num_steps),
        "certified gap": float(design.duality_gap),
    }
