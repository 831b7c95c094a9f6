"""One run: Adam on a loss of batches drawn from the reference or from the policy, measured along the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import batches, losses, pairs, problem, reward_model
from banditlab.didactic.batches import Batch
from banditlab.didactic.policies import Params, Policy
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings
from banditlab.estimators import Status
from banditlab.numerics import adam

_FINITE = ("reward", "kl_reference", "kl_target", "chosen", "rejected")


class Options(NamedTuple):
    """Static choices; changing one recompiles. `dataset` is the number of offline states, 0 for drawn batches."""

    algorithm: str
    policy: Policy
    num_states: int
    num_samples: int
    minibatch: int
    dataset: int
    stale: bool
    label_mode: str
    floor: bool
    reward_pairs: int
    record_policy: bool


class Schedule(NamedTuple):
    """Step counts (R,) at which a run is measured, gradient steps per batch, and batches per sampling policy."""

    record_at: np.ndarray | Array
    reuse: np.ndarray | np.integer | Array
    refresh: np.ndarray | np.integer | Array


class World(NamedTuple):
    """What a run reads: its problem and settings, (A,) the rewards that decide the pairs, states to evaluate on."""

    problem: Problem
    settings: Settings
    label_rewards: Array
    evaluation: Array


class _Carry(NamedTuple):
    params: Any
    moments: Any
    sampler: Any  # the parameters that draw, where they lag behind; else None
    batch: Batch
    seen: Array  # (2,) sum and number of the rewards seen
    dropped: Array
    empty: Array
    sound: Array


def run(
    key: Array,
    bandit: Problem,
    settings: Settings,
    features: Array,
    evaluation: Array,
    schedule: Schedule,
    options: Options,
) -> dict[str, Array]:
    """The records of one run, (R,) each and as `training.train_grid` names them, and its status.

    Args:
        key: (2,) uint32.
        features: (A, d) of the reward model; not read in the other label modes.
        evaluation: (E, p) states that a policy which reads them is judged by.
    """
    labeller = bandit.reward
    if options.label_mode == "reward_model":
        labeller = reward_model.learned(_jax_key(key, 1), bandit, settings, features, options.reward_pairs)
    world = World(bandit, settings, labeller, evaluation)
    carry = _start(key, world, options)
    records = jax.tree.map(
        lambda shape: jnp.zeros((schedule.record_at.shape[0], *shape.shape), shape.dtype),
        jax.eval_shape(lambda: _measure(carry, world, options)),
    )

    # Draw, measure, step: one loop holds each of them once, which halves the compilation.
    def body(index: Array, state: tuple[_Carry, dict[str, Array]]) -> tuple[_Carry, dict[str, Array]]:
        carry, records = state
        carry = _refreshed(index, key, carry, world, schedule, options)

        def recorded() -> dict[str, Array]:
            slot = jnp.sum(schedule.record_at < index)
            measured = _measure(carry, world, options)
            finite = jnp.all(jnp.isfinite(jnp.stack([measured[name] for name in _FINITE])))
            measured["sound"] &= finite  # else the last finite values stand
            kept = {name: records[name][jnp.maximum(slot - 1, 0)] for name in _FINITE}
            measured |= {name: jnp.where(finite, measured[name], kept[name]) for name in _FINITE}
            return {name: records[name].at[slot].set(value) for name, value in measured.items()}

        records = jax.lax.cond(jnp.any(schedule.record_at == index), recorded, lambda: records)
        return _stepped(index, carry, world, schedule, options), records

    # The step after the last record is taken for nothing.
    _, records = jax.lax.fori_loop(jnp.int32(0), schedule.record_at[-1] + 1, body, (carry, records))
    sound = jnp.all(records.pop("sound"))
    return records | {"status": jnp.where(sound, Status.max_steps, Status.nonfinite).astype(jnp.int8)}


def loss(params: Params, batch: Batch, bandit: Problem, settings: Settings, baseline: Array, options: Options) -> Array:
    """The algorithm's loss of a batch at the policy's parameters."""
    algorithm = losses.ALGORITHMS[options.algorithm]
    log_probs = batches.at(options.policy.log_probs(params, bandit, batch.states), batch.actions)
    if options.floor:
        log_probs = losses.floored(log_probs)
    extra: dict[str, Any] = {"labels": batch.labels} if algorithm.uses_labels else {}
    if algorithm.uses_baseline:
        extra["baseline"] = baseline
    return algorithm.loss(log_probs, batch.reference, batch.rewards, batch.behaviour, settings, **extra)


def _start(key: Array, world: World, options: Options) -> _Carry:
    policy = options.policy
    params = policy.init(_jax_key(key, 0), world.problem)
    zero = jnp.zeros((), jnp.result_type(int))
    draw = _drawer(key, world, options)
    if options.dataset:
        batch = draw(jnp.uint32(0), None)
        seen = _sum_and_number(batch.rewards)
    else:  # drawn at the first step
        shapes = jax.eval_shape(lambda: draw(jnp.uint32(0), params))
        batch = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        seen = jnp.zeros(2, policy.dtype)
    dropped = _num_dropped(batch) if options.dataset else zero
    sampler = params if options.stale else None
    return _Carry(params, adam.start(params), sampler, batch, seen, dropped, zero, jnp.bool_(True))


def _stepped(index: Array, carry: _Carry, world: World, schedule: Schedule, options: Options) -> _Carry:
    """One step of Adam on the rows of this gradient step."""
    dtype = options.policy.dtype
    settings = jax.tree.map(lambda leaf: leaf.astype(dtype), world.settings)
    batch = carry.batch
    if options.dataset:  # the data set goes round batch by batch, a batch minibatch by minibatch
        batch = batches.rows(batch, index // schedule.reuse * options.num_states, options.num_states)
    batch = batches.rows(batch, index % schedule.reuse * options.minibatch, options.minibatch)
    baseline = carry.seen[0] / carry.seen[1]
    gradient = jax.grad(loss)(carry.params, batch, world.problem, settings, baseline, options)
    direction, moments = adam.direction(gradient, carry.moments)
    # A step that is not finite is not taken, nor any later one: the status says so. Biases see what any layer passes
    # on; reading the weights' gradients once more would cost a sixth of a network's step.
    total = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(gradient) if leaf.ndim == 1)
    sound = carry.sound & jnp.isfinite(total)
    params = jax.tree.map(lambda p, d: jnp.where(sound, p - settings.learning_rate * d, p), carry.params, direction)
    empty = carry.empty
    if batch.labels is not None:
        empty = empty + (jnp.sum(batch.labels.kept) == 0).astype(empty.dtype)
    return carry._replace(params=params, moments=moments, sound=sound, empty=empty)


def _refreshed(index: Array, key: Array, carry: _Carry, world: World, schedule: Schedule, options: Options) -> _Carry:
    """`carry` with a new batch if one is due at this step."""
    if options.dataset:
        return carry
    due = index % schedule.reuse == 0
    place = index // schedule.reuse
    if options.stale:
        renewed = due & (place % schedule.refresh == 0)
        carry = carry._replace(sampler=jax.lax.cond(renewed, lambda: carry.params, lambda: carry.sampler))

    def drawn() -> tuple[Batch, Array, Array]:
        sampler = carry.sampler if options.stale else carry.params
        batch = _drawer(key, world, options)(place.astype(jnp.uint32), sampler)
        return batch, carry.seen + _sum_and_number(batch.rewards), carry.dropped + _num_dropped(batch)

    batch, seen, dropped = jax.lax.cond(due, drawn, lambda: (carry.batch, carry.seen, carry.dropped))
    return carry._replace(batch=batch, seen=seen, dropped=dropped)


def _drawer(key: Array, world: World, options: Options) -> Callable[[Array, Any], Batch]:
    """(index, params) -> the batch of that index; the whole data set where there is one."""
    mode = options.label_mode if losses.ALGORITHMS[options.algorithm].uses_labels else None
    size = options.dataset or options.num_states

    def draw(index: Array, params: Any) -> Batch:
        arguments = (options.policy, params, world.problem, world.settings, size, options.num_samples)
        return batches.draw(key, index, *arguments, mode, world.label_rewards)

    return draw


def _jax_key(key: Array, purpose: int) -> Array:
    return jax.random.wrap_key_data(key ^ jnp.uint32(purpose), impl="threefry2x32")


def _measure(carry: _Carry, world: World, options: Options) -> dict[str, Array]:
    """Exact sums over the actions, means over the evaluation states; log-likelihoods of the batch's outcomes."""
    bandit, policy, batch = world.problem, options.policy, carry.batch
    precision = bandit.reward.dtype
    # One pass of the network serves the states to judge by and those of the batch.
    num_eval = world.evaluation.shape[0]
    states = jnp.concatenate([world.evaluation, batch.states]) if policy.num_inputs else batch.states
    both = policy.log_probs(carry.params, bandit, states)
    table, own = (both[:num_eval], both[num_eval:]) if policy.num_inputs else (both, both)
    table = table.astype(precision)
    measured = {
        "reward": problem.expected_reward(bandit, table),
        "kl_reference": problem.kl(table, bandit.log_reference),
        "kl_target": problem.kl(table, problem.target(bandit, jnp.asarray(world.settings.beta))),
    }
    measured = {name: jnp.mean(value) for name, value in measured.items()}
    labels = batch.labels
    if labels is None:
        labels = pairs.label(batch.rewards, jnp.asarray(world.settings.threshold, batch.rewards.dtype))
    log_probs = batches.at(own, batch.actions)
    chosen, rejected = (pairs.mean(v, labels).astype(precision) for v in pairs.winners(log_probs, labels))
    measured |= {"chosen": chosen, "rejected": rejected}
    measured |= {"dropped_pairs": carry.dropped, "empty_steps": carry.empty, "sound": carry.sound}
    if options.record_policy:
        measured["log_policy"] = jax.nn.logsumexp(table, axis=0) - jnp.log(jnp.asarray(table.shape[0], precision))
    return measured


def _sum_and_number(rewards: Array) -> Array:
    return jnp.stack([jnp.sum(rewards), jnp.asarray(rewards.size, rewards.dtype)])


def _num_dropped(batch: Batch) -> Array:
    counted = jnp.result_type(int)
    return jnp.zeros((), counted) if batch.labels is None else jnp.sum(batch.labels.kept == 0).astype(counted)
