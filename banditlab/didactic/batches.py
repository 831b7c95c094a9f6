"""Draws of states and actions, their rewards and their labels: the batches that a run trains on."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import generator, pairs
from banditlab.didactic.pairs import Labels
from banditlab.didactic.policies import Params, Policy
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings


class Batch(NamedTuple):
    """B states with N draws each.

    Attributes:
        states: (B, p), or (1, 0) for a policy that ignores them.
        actions: (B, N) int.
        rewards, reference, behaviour: (B, N) R(a), log pi_ref(a), and the log-probability a was drawn with.
        labels: of the pairs; None for losses without pairs.
    """

    states: Array
    actions: Array
    rewards: Array
    reference: Array
    behaviour: Array
    labels: Labels | None


def draw(
    key: Array,
    index: Array,
    policy: Policy[Params],
    params: Params | None,
    problem: Problem,
    settings: Settings,
    num_states: int,
    num_samples: int,
    label_mode: str | None,
    label_rewards: Array,
) -> Batch:
    """Draw B states, uniform on the unit cube, and N actions in each from pi_params.

    Args:
        key, index: of the run and of the batch (`generator.uniform`).
        params: None draws from the reference.
        label_mode: one of `pairs.LABEL_MODES`, None for no labels.
        label_rewards: (A,) the rewards that decide the pairs.
    """
    num_labels = pairs.count(num_samples) if label_mode == "bradley_terry" else 0
    uniform = generator.uniform(key, index, (num_states, num_samples + policy.num_inputs + num_labels))
    choices, states, coins = jnp.split(uniform, (num_samples, num_samples + policy.num_inputs), axis=1)
    states = states.astype(policy.dtype) if policy.num_inputs else jnp.zeros((1, 0), policy.dtype)
    table = problem.log_reference[None, :] if params is None else policy.log_probs(params, problem, states)
    actions = _draw_actions(choices, table)
    labels = None
    if label_mode == "bradley_terry":
        labels = pairs.label_noisily(coins, label_rewards[actions], settings.temperature, settings.threshold)
    elif label_mode is not None:
        labels = pairs.label(label_rewards[actions], settings.threshold)
    dtype = policy.dtype
    return Batch(
        states,
        actions,
        problem.reward.astype(dtype)[actions],
        problem.log_reference.astype(dtype)[actions],
        at(table.astype(dtype), actions),
        None if labels is None else jax.tree.map(lambda leaf: leaf.astype(dtype), labels),
    )


def rows(batch: Batch, start: Array, count: int) -> Batch:
    """`count` rows from `start` on, round and round; the states that a policy ignores stay as they are."""
    total = batch.actions.shape[0]
    if count == total:
        return batch
    chosen = (start + jnp.arange(count, dtype=start.dtype)) % total
    states = batch.states if batch.states.shape[1] == 0 else batch.states[chosen]
    taken = jax.tree.map(lambda leaf: leaf[chosen], batch._replace(states=()))
    return taken._replace(states=states)


def at(table: Array, actions: Array) -> Array:
    """(B, N) entries of (B, A), or of the one row (1, A) that serves all states."""
    if table.shape[0] == 1:
        return table[0][actions]
    return jnp.take_along_axis(table, actions, axis=1)


def _draw_actions(uniform: Array, table: Array) -> Array:
    """(B, N) actions by inversion of the (B, A) or (1, A) log-probabilities.

    The first level of the search finds a block of about sqrt(A) actions, the second the place in it: a tenth of the
    time of a binary search, whose every step is a gather.
    """
    # In double precision, where there is one: single distorts probabilities below 1e-7.
    num_actions = table.shape[1]
    triangle = jnp.asarray(np.triu(np.ones((num_actions, num_actions))), uniform.dtype)
    cumulative = jnp.exp(table.astype(uniform.dtype)) @ triangle
    level = uniform * cumulative[:, -1:]
    width = math.isqrt(num_actions - 1) + 1
    beyond = -num_actions % width
    padded = jnp.pad(cumulative, ((0, 0), (0, beyond)), constant_values=jnp.inf)
    blocks = padded.reshape(padded.shape[0], -1, width)
    block = jnp.sum(blocks[:, None, :, -1] <= level[:, :, None], axis=2, dtype=jnp.int32)
    block = jnp.minimum(block, np.int32(blocks.shape[1] - 1))
    own = blocks[0][block] if table.shape[0] == 1 else jax.vmap(lambda rows, at: rows[at])(blocks, block)
    place = jnp.sum(own <= level[:, :, None], axis=2, dtype=jnp.int32)
    return jnp.minimum(block * np.int32(width) + place, np.int32(num_actions - 1))
