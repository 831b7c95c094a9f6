"""From a pair law to preference data: labellers, outcome laws, exact counts, win matrices.

A finite preference data set *is* its win matrix W[x, i, j] = times i beat j in context x; self-pairs are
drawn, cost a label and sit on the diagonal. Nothing here grows with the number of labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from numpy.typing import ArrayLike

from banditlab import law_checks, validation
from banditlab.door import Key, OutcomeLaw, PairLaw, door
from banditlab.environment import Environment
from banditlab.numerics import multinomial

__all__ = [
    "Labeller",
    "as_partial",
    "bradley_terry",
    "deterministic",
    "draw_counts",
    "draw_wins",
    "flipped",
    "from_table",
    "outcome_law",
    "reward_gaps",
    "temperature",
    "wins_from_comparisons",
]

# labeller(env) -> (S, A, A) probability that i is labelled the winner against j. P_ij + P_ji < 1 drops pairs.
Labeller = Callable[[Environment], Array]


@door
def bradley_terry(env: Environment) -> Array:
    """P(i beats j) = sigma(r*_i - r*_j), (S, A, A)."""
    return jax.nn.sigmoid(reward_gaps(env))


@door
def temperature(value: float) -> Labeller:
    """Bradley-Terry at another temperature: P(i beats j) = sigma((r*_i - r*_j) / value), value > 0."""
    return Partial(_tempered, jnp.asarray(validation.positive("value", value), float))


@door
def deterministic(env: Environment) -> Array:
    """The larger reward always wins; equal rewards are a fair coin."""
    return 0.5 * (1.0 + jnp.sign(reward_gaps(env)))


@door
def flipped(rate: float, labeller: Labeller = bradley_terry) -> Labeller:
    """Every label of `labeller` is reversed with probability `rate` in [0, 1]."""
    if validation.positive("rate", rate, zero=True) > 1:
        raise ValueError(f"rate must be at most 1; got {rate}")
    return Partial(_flip, as_partial(labeller), jnp.asarray(rate, float))


@door
def from_table(win_probs: ArrayLike) -> Labeller:
    """Any win probabilities (S, A, A) in [0, 1] with P_ij + P_ji <= 1 (intransitive ones too; the rest is dropped)."""
    table = validation.array("win_probs", win_probs, ("num_contexts", "num_actions", "num_actions"))
    either = table + table.swapaxes(1, 2)
    if (table < 0).any() or (either > 1 + 1e-12).any():
        got = f"a least entry of {table.min()} and a largest P_ij + P_ji of {either.max()}"
        raise ValueError(f"win_probs must be >= 0 with P_ij + P_ji <= 1; got {got}")
    return Partial(_given, jnp.asarray(table, float))


@door
def reward_gaps(env: Environment) -> Array:
    """(S, A, A) r*(x, i) - r*(x, j)."""
    reward = env.reward
    return reward[:, :, None] - reward[:, None, :]


@door
def outcome_law(env: Environment, pair_law: PairLaw, labeller: Labeller = bradley_terry) -> Array:
    """Q[x, winner, loser] (S, A, A) of one labelled pair; self-pairs on the diagonal, missing mass = dropped pairs.

    Either order of presentation can produce an outcome, so only the symmetric part of the pair law matters.
    """
    if validation.is_concrete(pair_law):
        size = env.num_contexts, env.num_actions, env.num_actions
        law_checks.partial_law("pair_law", validation.array("pair_law", pair_law, size))
    either_order = pair_law + jnp.swapaxes(pair_law, 1, 2)
    self_pair = jnp.eye(env.num_actions, dtype=bool)[None]
    return jnp.where(self_pair, pair_law, either_order * labeller(env))


@door
def draw_counts(
    key: Key, outcome_law: OutcomeLaw, num_pairs: float | Array, *, capacity: int | str | None = "auto"
) -> Array:
    """Win matrix W (S, A, A) of `num_pairs` independent labelled pairs: one exact multinomial draw.

    Args:
        key: a PRNG key.
        outcome_law: (S, A, A) from `outcome_law`; mass missing from 1 is dropped pairs.
        num_pairs: a whole number >= 1, or inf for the population limit, which returns the law itself.
        capacity: "auto" chooses the branch from a concrete `num_pairs`; a traced one must come with the
            static choice of `multinomial.choose_capacity` (None = conditional binomials).

    Raises:
        ValueError: if `num_pairs` is not a whole number >= 1, or cannot be counted exactly in this precision; if
            `capacity` is neither "auto" nor None nor a whole number of at least a concrete `num_pairs`.
    """
    if capacity is not None and capacity != "auto":
        capacity = validation.steps("capacity", capacity)
        if validation.is_concrete(num_pairs) and float(num_pairs) > capacity:
            raise ValueError(f"capacity must be at least num_pairs = {num_pairs}; got {capacity}")
    known = validation.is_concrete(num_pairs)
    pairs = validation.count("num_pairs", validation.whole("num_pairs", num_pairs, infinite=True)) if known else 0.0
    if capacity == "auto":
        if known:
            if math.isinf(pairs):
                return outcome_law
            capacity = multinomial.choose_capacity(pairs, math.prod(outcome_law.shape))
        else:
            capacity = None
    assert not isinstance(capacity, str)
    trials = jnp.asarray(num_pairs, outcome_law.dtype)
    return multinomial.draw(key, outcome_law.reshape(-1), trials, capacity=capacity).reshape(outcome_law.shape)


@door
def draw_wins(
    key: Key,
    env: Environment,
    pair_law: PairLaw,
    num_pairs: float | Array,
    labeller: Labeller = bradley_terry,
) -> Array:
    """`draw_counts` of the `outcome_law` of a pair law: (S, A, A) win matrix of num_pairs labels."""
    return draw_counts(key, outcome_law(env, pair_law, labeller), num_pairs)


@door
def wins_from_comparisons(
    context: ArrayLike, chosen: ArrayLike, rejected: ArrayLike, *, shape: tuple[int, int]
) -> Array:
    """Win matrix (S, A, A) of a user's comparisons, three index arrays (n,), for shape = (S, A).

    Raises:
        ValueError: if the arrays differ in length, are not integers, or index outside `shape`.
    """
    if len(shape) != 2:
        raise ValueError(f"shape must be (num_contexts, num_actions); got {shape}")
    num_contexts, num_actions = (int(validation.whole("shape", size)) for size in shape)
    validation.tables("shape", num_contexts * num_actions**2)
    columns = {
        "context": (context, num_contexts),
        "chosen": (chosen, num_actions),
        "rejected": (rejected, num_actions),
    }
    rows = {name: _indices(name, value, limit) for name, (value, limit) in columns.items()}
    if len({len(row) for row in rows.values()}) > 1:
        lengths = ", ".join(f"{name} {len(row)}" for name, row in rows.items())
        raise ValueError(f"context, chosen and rejected must have the same length; got {lengths}")
    wins = np.zeros((num_contexts, num_actions, num_actions))
    np.add.at(wins, tuple(rows.values()), 1.0)
    return jnp.asarray(wins)


def _indices(name: str, value: ArrayLike, limit: int) -> np.ndarray:
    out = np.asarray(value)
    if out.ndim != 1 or (out.size and not np.issubdtype(out.dtype, np.integer)):
        raise ValueError(f"{name} must be (num_comparisons,) of integers; got {out.shape} of {out.dtype}")
    if out.size and not (out.min() >= 0 and out.max() < limit):
        raise ValueError(f"{name} must lie in 0..{limit - 1}; got values from {out.min()} to {out.max()}")
    return out.astype(np.int64)


def _tempered(value: Array, env: Environment) -> Array:
    return jax.nn.sigmoid(reward_gaps(env) / value)


def _flip(labeller: Labeller, rate: Array, env: Environment) -> Array:
    win_probs = labeller(env)
    return (1.0 - rate) * win_probs + rate * jnp.swapaxes(win_probs, 1, 2)


def _given(table: Array, env: Environment) -> Array:
    if table.shape != (env.num_contexts, env.num_actions, env.num_actions):
        raise ValueError(
            f"win_probs must be ({env.num_contexts}, {env.num_actions}, {env.num_actions}); got {table.shape}"
        )
    return table


@door
def as_partial(function: Callable[..., Array]) -> Partial:
    """A pytree: the numbers bound by a `Partial` are its leaves, a bare function has none."""
    return function if isinstance(function, Partial) else Partial(function)


def __dir__() -> list[str]:
    return __all__
