"""Training runs of the didactic bandits: many seeds, settings and problems in one compiled call.

Runs go in blocks of one fixed shape (`numerics.blocks`): how many runs there are, and how many devices share them,
changes no bit of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Required, TypedDict, Unpack

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import validation
from banditlab.didactic import arguments, losses, pairs
from banditlab.didactic.policies import Policy
from banditlab.didactic.population import population
from banditlab.didactic.problem import Problem
from banditlab.didactic.run import Options, Schedule, run
from banditlab.didactic.settings import DEFAULTS, Settings, checked
from banditlab.door import door
from banditlab.estimators import Status
from banditlab.numerics import blocks, compilation

__all__ = ["failures", "population", "train", "train_grid"]

# Runs side by side: a table's are vectorised together; a network and its Adam moments fill a core's cache alone.
_BLOCKS = {"tabular": 32, "mlp": 1}


class _Lane(NamedTuple):
    key: Any
    settings: Any
    problem: Any


class TrainOptions(TypedDict, total=False):
    """Keyword arguments of `train_grid`, as `train` passes them on."""

    num_steps: Required[int]
    num_states: Required[int]
    num_samples: Required[int]
    on_policy: Required[bool]
    seeds: Required[int]
    settings: Settings
    reuse: int
    refresh: int
    dataset: int | None
    minibatch: int | None
    label_mode: str
    reward_pairs: int
    reward_features: ArrayLike | None
    floor: bool
    record_every: int | None
    record_at: Sequence[int] | None
    record_policy: bool
    num_eval: int
    seed: int


@door
def train(algorithm: str, policy: Policy, problem: Problem, **options: Unpack[TrainOptions]) -> dict[str, np.ndarray]:
    """`train_grid` of one setting and one problem: the same arrays without the axis G."""
    settings = options.get("settings", DEFAULTS)
    if any(np.ndim(value) for value in settings):
        raise ValueError("settings must be scalars; train_grid takes arrays of them")
    validation.shape("problem.reward", problem.reward, np.shape(problem.log_reference))
    results = train_grid(algorithm, policy, problem, **options)
    return {name: leaf if name in ("num_steps", "num_queries") else leaf[0] for name, leaf in results.items()}


@door
def train_grid(
    algorithm: str,
    policy: Policy,
    problem: Problem,
    *,
    num_steps: int,
    num_states: int,
    num_samples: int,
    on_policy: bool,
    seeds: int,
    settings: Settings = DEFAULTS,
    reuse: int = 1,
    refresh: int = 1,
    dataset: int | None = None,
    minibatch: int | None = None,
    label_mode: str = "deterministic",
    reward_pairs: int = 500,
    reward_features: ArrayLike | None = None,
    floor: bool = False,
    record_every: int | None = None,
    record_at: Sequence[int] | None = None,
    record_policy: bool = False,
    num_eval: int = 100,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Adam on a loss of `losses.ALGORITHMS`, for G settings and problems and `seeds` seeds of each.

    On-policy, batch b of B states with N draws each comes from the policy as it is, and serves `reuse` gradient
    steps. Offline, a data set is drawn once from the reference, and batches of B go round in it. Settings share the
    random numbers of a seed. G, the number of seeds and numbers (settings, problems, reuse, refresh, seed, the steps
    recorded) do not recompile; R, B, N and names do.

    Args:
        algorithm: name in `losses.ALGORITHMS`.
        policy: `policies.tabular()` (float64) or `policies.mlp()` (float32).
        problem: fields (A,), or (G, A) for one problem per setting (`jax.vmap(problem.problem)`).
        num_steps: gradient steps in all.
        num_states, num_samples: B and N of a batch.
        on_policy: whether batches are drawn from the policy; from a fixed data set of the reference otherwise.
        settings: numbers, each a scalar or (G,).
        reuse: T >= 1, gradient steps on each batch.
        refresh: batches drawn before the sampling policy is set to the current one; larger than num_steps / reuse, it
            stays the first policy, with fresh draws. On-policy only.
        dataset: M >= B states of the offline data set; B by default, one batch again and again.
        minibatch: rows of the batch per gradient step, in turn; all by default.
        label_mode: of losses of pairs: "deterministic" (the larger reward wins, ties drop out), "bradley_terry", or
            "reward_model": deterministic labels of a Bradley-Terry fit to `reward_pairs` noisy ones of reference draws.
        reward_features: (A, d) of that fit; the identity, a table, by default.
        floor: clamp the policy's probabilities in the loss as published code does silently (`losses.floored`).
        record_every, record_at: measure at 0, every so many steps and at the end (num_steps / 20 by default); or at
            these increasing step counts, the last of them num_steps.
        record_policy: also return log_policy.
        num_eval: evaluation states of a policy that reads them.
        seed: root of all randomness; seed i depends on (seed, i) alone.

    Returns:
        name -> array. (G, seeds, R): reward E_pi R, kl_reference KL(pi || pi_ref), kl_target KL(pi || pi*) at beta
        (exact sums; the MLP's a mean over evaluation states), chosen and rejected (mean log pi of winners and losers,
        in the data set offline, else in the last batch), dropped_pairs (of all pairs drawn so far), empty_steps (steps
        whose batch had no pair left: their loss is zero); log_policy (G, seeds, R, A), the average over states.
        status (G, seeds): max_steps, or nonfinite where a run stopped before a step that was not finite.
        num_steps (R,) and num_queries (R,), the rewards asked for so far: B N per batch, M N offline from the
        start, 2 reward_pairs with a reward model.

    Raises:
        ValueError: naming the argument that is unknown, of the wrong shape or out of range; for thresholds that drop
            every pair.
    """
    chosen = losses.ALGORITHMS[validation.choice("algorithm", algorithm, tuple(losses.ALGORITHMS))]
    batch = arguments.sizes(
        algorithm, num_steps, num_states, num_samples, seeds, reuse, refresh, dataset, minibatch, on_policy
    )
    if validation.choice("label_mode", label_mode, pairs.LABEL_MODES) != "deterministic" and not chosen.uses_labels:
        raise ValueError(
            f"label_mode must be 'deterministic' for algorithm {algorithm!r}, without pairs; got {label_mode!r}"
        )
    steps = arguments.steps(num_steps, record_every, record_at)
    settings, problem = arguments.grid(checked(settings), problem)
    if chosen.uses_labels and label_mode != "reward_model":
        arguments.check_threshold(np.asarray(settings.threshold), problem, label_mode)
    features = arguments.features(reward_features, problem.reward.shape[1], label_mode)
    options = Options(
        algorithm,
        policy,
        *batch,
        # A copy of a table costs nothing, and lets one program serve every refresh.
        stale=refresh > 1 or (on_policy and not policy.num_inputs),
        label_mode=label_mode,
        floor=bool(floor),
        reward_pairs=int(validation.whole("reward_pairs", reward_pairs)),
        record_policy=bool(record_policy),
    )
    validation.tables("reward_pairs", options.reward_pairs)
    schedule = Schedule(np.asarray(steps, np.int32), np.int32(reuse), np.int32(refresh))
    seed = validation.index("seed", seed)
    # The states to judge by are the same for all.
    num_judged = int(validation.whole("num_eval", num_eval))
    validation.tables("num_eval", num_judged * policy.num_inputs)
    states = np.random.default_rng(0).random((num_judged, policy.num_inputs))
    evaluation = states.astype(policy.dtype)[: None if policy.num_inputs else 1]
    results = _run_blocks(options, schedule, settings, problem, features, evaluation, int(seeds), seed)
    return results | {"num_steps": steps, "num_queries": _queries(steps, int(reuse), options)}


@door
def failures(results: dict[str, np.ndarray]) -> dict[str, int]:
    """Runs that ended before a step that was not finite; for a table's metadata."""
    if "status" not in results:
        raise ValueError(f"results must hold status, as those of train do; got {[*results]}")
    return {Status.nonfinite.name: int((np.asarray(results["status"]) == Status.nonfinite).sum())}


def _run_blocks(
    options, schedule, settings, problem, features, evaluation, seeds: int, seed: int
) -> dict[str, np.ndarray]:
    """All (setting, seed) runs: name -> (G, seeds, ...)."""
    setting, place = np.divmod(np.arange(problem.reward.shape[0] * seeds), seeds)
    chosen = jax.tree.map(lambda leaf: leaf[setting], (settings, problem))
    lanes = _Lane(_keys(seed, seeds)[place], *chosen)
    devices, size = tuple(jax.local_devices()), _BLOCKS.get(options.policy.name, 1)
    program = _program(devices, options, size)
    results = blocks.run_lanes(program, devices, size, lanes, features, evaluation, schedule)
    return {name: leaf.reshape(len(problem.reward), seeds, *leaf.shape[1:]) for name, leaf in results.items()}


def _keys(seed: int, seeds: int) -> np.ndarray:
    """(seeds, 2) uint32 keys; key i depends on (seed, i) alone."""
    return np.array([np.random.SeedSequence((seed, place)).generate_state(2) for place in range(seeds)])


@functools.lru_cache(maxsize=128)
def _program(devices: blocks.Devices, options: Options, size: int):
    """The compiled unit: one block of runs on every device."""

    def one(lane: _Lane, features: Array, evaluation: Array, schedule: Schedule) -> dict[str, Array]:
        return run(lane.key, lane.problem, lane.settings, features, evaluation, schedule, options)

    # A network's optimiser streams arrays that no cache holds, a table's does not.
    compiler = compilation.streaming if options.policy.num_inputs else compilation.outermost
    return blocks.compiled(blocks.of_lanes(one, size), devices, num_shared=3, compiler=compiler)


def _queries(steps: np.ndarray, reuse: int, options: Options) -> np.ndarray:
    if options.label_mode == "reward_model":
        return np.full_like(steps, 2 * options.reward_pairs)
    if options.dataset:
        return np.full_like(steps, options.dataset * options.num_samples)
    return -(-steps // reuse) * options.num_states * options.num_samples


def __dir__() -> list[str]:
    return __all__
