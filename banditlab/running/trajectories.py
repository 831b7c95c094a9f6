"""Training curves: many runs of `estimators.descent` and everything measured along them, in one compiled call.

Runs go in blocks of one fixed shape (`numerics.blocks`), which depends on S and A only: how many runs there are, and
how many devices share them, changes no bit of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import losses, validation
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators.descent import check_options, descend, step_counts
from banditlab.metrics import METRICS, measure
from banditlab.numerics import blocks

__all__ = ["block_size", "paths"]

_BLOCK_CELLS = 2**14
_BLOCK_LIMITS = (1, 64)


class _Options(NamedTuple):
    """Static choices; changing one recompiles."""

    metrics: tuple[str, ...]
    loss: losses.Loss
    kl: Any
    num_samples: int
    optimizer: Any


class _Lane(NamedTuple):
    """One run's own numbers; a leading axis for many."""

    place: Array
    wins: Array
    start: Array
    step_size: Array
    penalty: Array
    beta: Array


@door
def paths(
    env: Environment,
    wins: ArrayLike,
    *,
    record_at: ArrayLike,
    step_size: ArrayLike,
    penalty: ArrayLike = 0.0,
    beta: ArrayLike | None = None,
    start: ArrayLike | None = None,
    loss: losses.Loss = losses.dpo,
    target: ArrayLike | None = None,
    kl: Literal["exact", "rloo", "reinforce"] = "exact",
    num_samples: int = 1,
    optimizer: Literal["gradient", "adam"] = "gradient",
    tolerance: float = 1e-8,
    seed: int = 0,
    metrics: Sequence[str] = tuple(METRICS),
    groups: ArrayLike | None = None,
) -> dict[str, np.ndarray]:
    """N runs of `descend`, one per win matrix, measured after R stated numbers of steps.

    Changing numbers, N or the steps recorded does not recompile; R and shapes do.

    Args:
        wins: (N, S, A, A).
        record_at: (R,) increasing step counts; 0 is the start.
        step_size, penalty, beta: () or (N,); beta, of the margins, is env.beta by default.
        start: (d,) or (N, d), `env.start_params` by default.
        loss, target, kl, num_samples, optimizer, tolerance: of `descend`; target (S, A, A) is shared.
        seed: of the draws of stochastic KL gradients; run i depends on (seed, i) only.
        metrics: names in `banditlab.metrics.METRICS`.
        groups: (G, S, A) masks of actions whose mass is recorded.

    Returns:
        name -> array: every metric and gradient_norm (N, R), params (N, R, d), status (N,), log_policy and
        implicit_reward (N, R, S, A), which is beta log(pi/pi_ref), and group_mass (N, R, G), E_x pi(group | x).
        An action that neither pi nor pi_ref plays has implicit reward zero.

    Raises:
        ValueError: naming the argument that has the wrong shape or is out of range.
    """
    options = _Options(tuple(metrics), loss, kl, check_options(kl, num_samples, optimizer), optimizer)
    if unknown := [name for name in options.metrics if name not in METRICS]:
        raise ValueError(f"metrics must be among {', '.join(METRICS)}; got {', '.join(map(repr, unknown))}")
    table = (env.num_contexts, env.num_actions)
    masks = np.zeros((0, *table)) if groups is None else validation.array("groups", groups, ("num_groups", *table))
    dtype = env.features.dtype
    lanes = _lanes(env, wins, start, step_size, penalty, beta)
    devices, size = tuple(jax.local_devices()), block_size(env)
    return blocks.run_lanes(
        _program(devices, options, size),
        devices,
        size,
        lanes,
        env,
        step_counts(record_at),
        None if target is None else jnp.asarray(target, dtype),
        jnp.asarray(masks, dtype),
        jnp.asarray(validation.positive("tolerance", tolerance, zero=True), dtype),
        jnp.uint32(validation.index("seed", seed)),
    )


@door
def block_size(env: Environment) -> int:
    """Runs per block: a function of S and A alone; larger blocks of larger tables leave the cache."""
    return blocks.size(env.num_contexts * env.num_actions**2, _BLOCK_CELLS, _BLOCK_LIMITS)


def _lanes(env: Environment, wins, start, step_size, penalty, beta) -> _Lane:
    """The runs' numbers as checked arrays with a leading axis N."""
    wins = validation.array("wins", wins, ("num_runs", env.num_contexts, env.num_actions, env.num_actions))
    count = len(wins)
    if count == 0 or (wins < 0).any():
        raise ValueError(f"wins must be at least one table, non-negative; got {count}, least {wins.min(initial=0)}")
    columns: dict[str, Any] = {"wins": wins}
    for name, value in (("step_size", step_size), ("penalty", penalty), ("beta", env.beta if beta is None else beta)):
        column = validation.array(name, value, () if np.ndim(value) == 0 else (count,))
        validation.positive(name, column.min(), zero=name == "penalty")
        columns[name] = np.broadcast_to(column, count)
    start = np.asarray(env.start_params if start is None else start)
    validation.array("start", start, (env.num_features,) if start.ndim == 1 else (count, env.num_features))
    columns["start"] = np.broadcast_to(start, (count, env.num_features))
    columns = {name: np.asarray(column, env.features.dtype) for name, column in columns.items()}
    return _Lane(place=np.arange(count, dtype=np.uint32), **columns)  # pyright: ignore[reportArgumentType]


@functools.lru_cache(maxsize=64)
def _program(devices: blocks.Devices, options: _Options, size: int):
    """The compiled unit: one block of runs on every device."""

    def one(lane: _Lane, env: Environment, record_at, target, masks, tolerance, seed) -> dict[str, Array]:
        root = jax.random.key(seed, impl="threefry2x32")
        return _run(root, lane, env, record_at, target, masks, tolerance, options)

    return blocks.compiled(blocks.of_lanes(one, size), devices, num_shared=6)


def _run(
    root: Array,
    lane: _Lane,
    env: Environment,
    record_at: Array,
    target: Array | None,
    masks: Array,
    tolerance: Array,
    options: _Options,
) -> dict[str, Array]:
    """One run: descend, then measure every policy recorded."""
    run = descend(
        jax.random.fold_in(root, lane.place),
        env,
        lane.wins,
        lane.start,
        record_at=record_at,
        step_size=lane.step_size,
        penalty=lane.penalty,
        beta=lane.beta,
        loss=options.loss,
        target=target,
        kl=options.kl,
        num_samples=options.num_samples,
        optimizer=options.optimizer,
        tolerance=tolerance,
    )

    def look(params: Array) -> dict[str, Array]:
        log_policy = env.log_policy(params)
        nowhere = jnp.isneginf(log_policy) & jnp.isneginf(env.log_reference)
        ratio = jnp.where(nowhere, 0.0, log_policy) - jnp.where(nowhere, 0.0, env.log_reference)
        mass = jnp.einsum("x,xa,gxa->g", env.context_probs, jnp.exp(log_policy), masks)
        tables = {"log_policy": log_policy, "implicit_reward": lane.beta * ratio, "group_mass": mass}
        return measure(env, log_policy, options.metrics) | tables

    records = jax.lax.map(look, run.params)
    return records | {"params": run.params, "gradient_norm": run.gradient_norm, "status": run.status}


def __dir__() -> list[str]:
    return __all__
