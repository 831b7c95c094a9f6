"""The jit boundary: runs of an algorithm over rounds and seeds, in blocks of one fixed shape.

A run is a pure function of (algorithm, environment, key). Seeds run in blocks whose size depends on S, A and d
only; a call hands one block to every local device. How many blocks there are, how many devices share them and
in which order they come changes no bit of the result, because rounding depends on the compiled batch shape.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.algorithms.base import Algorithm
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import Existence, Status
from banditlab.metrics import METRICS, measure
from banditlab.numerics import blocks, streams

RECORDS = (*METRICS, "existence")

_PRNG = "threefry2x32"
_MOST_SEEDS = streams.SETTINGS
_BLOCK_CELLS = 2**17
_BLOCK_LIMITS = (8, 128)


class Run(NamedTuple):
    """Results of `simulate`; NumPy arrays. `simulate_grid` puts a settings axis in front of every array.

    Attributes:
        metrics: name -> (num_seeds, num_rounds); column k holds the value after k+1 rounds. The names of
            `banditlab.metrics.METRICS`, existence (int8 `Existence` of the optimum of the round's data), and
            always num_labels (cumulative) and status (int8 `Status`).
        initial: name -> (num_seeds,), the same measures of pi_0.
        params: pytree of (num_seeds, num_rounds, ...), or None if not recorded.
    """

    metrics: Mapping[str, np.ndarray]
    initial: Mapping[str, np.ndarray]
    params: Any

    @property
    def failures(self) -> dict[str, int]:
        """Seed-rounds per status other than converged and, if recorded, per verdict other than `exists`."""
        failed = [("status", s) for s in Status if s is not Status.converged]
        failed += [("existence", e) for e in Existence if e is not Existence.exists and "existence" in self.metrics]
        return {case.name: int((self.metrics[column] == case).sum()) for column, case in failed}


@door
def simulate(
    algorithm: Algorithm,
    env: Environment,
    *,
    num_rounds: int,
    num_seeds: int,
    seed: int = 0,
    record_params: bool = True,
    metrics: Sequence[str] = RECORDS,
    first_seed: int = 0,
    progress: bool = False,
) -> Run:
    """Run `num_seeds` independent seeds for `num_rounds` rounds.

    Args:
        algorithm: from `banditlab.algorithms`, or your own.
        env: the environment.
        num_rounds: rounds per run, at least 1.
        num_seeds: seeds, at least 1. Seed i depends on (seed, i) only, so a longer run repeats a shorter one.
        seed: root of all randomness. Algorithms run with the same seed share their random numbers.
        record_params: keep the parameters of every round.
        metrics: which of `RECORDS` (the names in `banditlab.metrics.METRICS`, and existence) to compute.
        first_seed: index of the first seed, to continue an earlier run.
        progress: show a progress bar on a terminal.

    Raises:
        ValueError: for counts below 1 or unknown metrics.
    """
    runs = simulate_grid(
        [algorithm], [env], num_rounds=num_rounds, num_seeds=num_seeds, seed=seed, record_params=record_params,
        metrics=metrics, first_seed=first_seed, progress=progress,
    )  # fmt: skip
    return jax.tree.map(lambda leaf: leaf[0], runs)


@door
def simulate_grid(
    algorithms: Sequence[Algorithm],
    envs: Sequence[Environment],
    *,
    num_rounds: int,
    num_seeds: int,
    seed: int = 0,
    record_params: bool = True,
    metrics: Sequence[str] = RECORDS,
    first_seed: int = 0,
    progress: bool = False,
    common_seeds: bool = True,
) -> Run:
    """`simulate` for settings (algorithms[i], envs[i]) of equal structure, in ONE compilation.

    A list of length one is paired with every setting of the other. Arguments as in `simulate`; every array of the
    result has a leading settings axis. Settings share their random numbers, which makes differences between them
    sharp and averages over them dependent; common_seeds = False gives every setting random numbers of its own, which
    depend on (seed, place of the setting, index of the seed) only.

    Raises:
        ValueError: if the lengths do not match, or the settings differ in structure, shape or static options.
    """
    num_rounds = validation.steps("num_rounds", num_rounds)
    num_seeds = int(validation.whole("num_seeds", num_seeds))
    seed, first_seed = validation.index("seed", seed), validation.index("first_seed", first_seed)
    if first_seed + num_seeds > _MOST_SEEDS:
        raise ValueError(f"first_seed + num_seeds must be at most 2^32 - 1; got {first_seed} + {num_seeds}")
    pairs = _pair_up(algorithms, envs)
    for algorithm, env in pairs:
        _check_start(algorithm, env)
    settings = [(algorithm.prepare(env), env) for algorithm, env in pairs]
    metrics = tuple(metrics)
    if unknown := [name for name in metrics if name not in RECORDS]:
        raise ValueError(f"metrics must be among {', '.join(RECORDS)}; got {', '.join(map(repr, unknown))}")
    devices = tuple(jax.local_devices())
    block = block_size(envs[0])
    validation.tables("num_rounds", block * num_rounds * envs[0].num_contexts * envs[0].num_actions)
    blocks_per_setting = math.ceil(num_seeds / block)
    own = [
        _Block(algorithm, env, np.uint32(place), _seeds(first_seed + b * block, block))
        for place, (algorithm, env) in enumerate(settings)
        for b in range(blocks_per_setting)
    ]
    program = _program(devices, num_rounds, record_params, metrics, bool(common_seeds))
    results = blocks.run(program, devices, own, jnp.uint32(seed), progress="simulating" if progress else "")

    def by_setting(lanes: np.ndarray) -> np.ndarray:
        return lanes.reshape(len(settings), blocks_per_setting * block, *lanes.shape[2:])[:, :num_seeds]

    measured, rows, params = jax.tree.map(by_setting, results)
    after = {name: values[..., 1:] for name, values in measured.items()}
    return Run(after | rows, {name: values[..., 0] for name, values in measured.items()}, params)


def _check_start(algorithm: Algorithm, env: Environment) -> None:
    """ValueError where pi_ref is not in the class and the algorithm asks for its parameters."""
    if not env.holds_reference:
        unknown = dataclasses.replace(env, reference_params=None)
        jax.eval_shape(algorithm.prepare(env).init, jax.random.key(0), unknown)


def block_size(env: Environment) -> int:
    """Seeds per block: a function of S and A alone, so that results do not depend on the machine."""
    return blocks.size(env.num_contexts * env.num_actions**2, _BLOCK_CELLS, _BLOCK_LIMITS)


def trajectory(
    algorithm: Algorithm,
    env: Environment,
    key: Array,
    *,
    num_rounds: int,
    record_params: bool,
    metrics: tuple[str, ...],
) -> tuple[dict[str, Array], dict[str, Array], Any]:
    """One run as a pure function of its key.

    Returns the measures of pi_0 .. pi_K (num_rounds + 1,), what the rounds report (num_rounds,) and the parameters.
    """
    key_init, key_rounds = jax.random.split(key)
    state = algorithm.init(key_init, env)
    start = algorithm.log_policy(state, env)

    def play(carry: tuple[Any, Array], index: Array) -> tuple[tuple[Any, Array], Any]:
        state, bought = carry
        state, info = algorithm.step(jax.random.fold_in(key_rounds, index), state, env)
        bought = bought + info.num_labels
        row = {"num_labels": bought, "status": info.status}
        row |= {"existence": info.existence} if "existence" in metrics else {}
        return (state, bought), (row, algorithm.log_policy(state, env), state.params if record_params else None)

    _, (rows, policies, params) = jax.lax.scan(play, (state, jnp.zeros_like(env.beta)), jnp.arange(num_rounds))
    # One loop over pi_0 and the policies of all rounds, so that the measures are compiled once.
    of_policy = tuple(name for name in metrics if name in METRICS)
    measured = jax.lax.map(
        lambda log_policy: measure(env, log_policy, of_policy), jnp.concatenate([start[None], policies])
    )
    return measured, rows, params


class _Block(NamedTuple):
    """One setting, its place in the grid, and the seeds of a block."""

    algorithm: Any
    env: Any
    place: Any
    seeds: Any


def _seeds(first: int, block: int) -> np.ndarray:
    """Seeds of a block; those beyond the last one are the last, for lanes that fill the block up."""
    return np.minimum(np.arange(first, first + block), _MOST_SEEDS - 1).astype(np.uint32)


@functools.lru_cache(maxsize=64)
def _program(devices: blocks.Devices, num_rounds: int, record_params: bool, metrics: tuple[str, ...], common: bool):
    """The compiled unit: one block of seeds on every device."""
    one = functools.partial(trajectory, num_rounds=num_rounds, record_params=record_params, metrics=metrics)

    def seeds_of_block(own: _Block, seed: Array) -> Any:
        root = jax.random.key(seed, impl=_PRNG)
        if not common:  # the one index that no seed has begins the settings' own streams
            root = jax.random.fold_in(jax.random.fold_in(root, np.uint32(streams.SETTINGS)), own.place)
        return jax.vmap(lambda index: one(own.algorithm, own.env, jax.random.fold_in(root, index)))(own.seeds)

    return blocks.compiled(seeds_of_block, devices, num_shared=1)


def _pair_up(algorithms: Sequence[Algorithm], envs: Sequence[Environment]) -> list[tuple[Algorithm, Environment]]:
    count = max(len(algorithms), len(envs))
    if not algorithms or not envs or not {len(algorithms), len(envs)} <= {1, count}:
        raise ValueError(
            "algorithms and envs must have equal lengths, or one of them length 1; "
            f"got {len(algorithms)} algorithms and {len(envs)} envs"
        )
    pairs = [(algorithms[i % len(algorithms)], envs[i % len(envs)]) for i in range(count)]
    structures = {
        (jax.tree.structure(pair), tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(pair))) for pair in pairs
    }
    if len(structures) > 1:
        raise ValueError(
            "algorithms and envs of a grid must share structure, shapes and static options, so that one compilation "
            f"serves all; got {len(structures)} different ones"
        )
    return pairs
