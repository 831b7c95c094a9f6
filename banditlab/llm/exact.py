"""Exact metrics of a policy on an enumerable task: the bandit's own, on a table of all responses."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import coverage, metrics, validation
from banditlab.environment import Environment
from banditlab.numerics.compilation import LOOPS, inner

# The win rate needs a table of this many levels squared.
_MOST_LEVELS = 4096


class Evaluator(NamedTuple):
    """A task as a bandit over whole responses.

    Attributes:
        env: S prompts, A responses, no features (rank 0): only tables are measured on it.
        levels: (L,) the distinct rewards.
        level: (S, A) int32, the reward's number among them.
    """

    env: Environment
    levels: Array
    level: Array


def evaluator(
    reward: ArrayLike, log_reference: ArrayLike, beta: float, context_probs: ArrayLike | None = None
) -> Evaluator:
    """The evaluator of a reward table (S, A) against a reference (S, A) of log-probabilities.

    Raises:
        ValueError: as `Environment.create`, or for more than 4096 distinct rewards.
    """
    table = validation.array("reward", reward, ("num_prompts", "num_responses"))
    levels, level = np.unique(table, return_inverse=True)
    if len(levels) > _MOST_LEVELS:
        raise ValueError(f"reward must take at most {_MOST_LEVELS} distinct values; got {len(levels)}")
    env = Environment.create(
        np.zeros((*table.shape, 1)),
        reward=table,
        log_reference=log_reference,
        beta=beta,
        context_probs=context_probs,
        unidentified="allow",
    )
    return Evaluator(env, jnp.asarray(levels, env.reward.dtype), jnp.asarray(level.reshape(table.shape), jnp.int32))


@inner(LOOPS)
def measure(evaluator: Evaluator, log_policy: Array) -> dict[str, Array]:
    """Metrics of log_policy (S, A), each (), under the names of `banditlab.metrics`.

    objective is J = E reward - beta KL(pi || pi_ref); density_ratio is max pi*/pi, coverage is E_{pi*}[pi*/pi].
    """
    env = evaluator.env
    exact = metrics.measure(env, log_policy, ("kl_target", "gap", "kl_reference", "expected_reward"))
    exact["objective"] = exact["expected_reward"] - env.beta * exact["kl_reference"]
    exact["win_rate"] = win_rate(evaluator, log_policy)
    exact["density_ratio"] = coverage.density_ratio(env, log_policy)
    exact["coverage"] = mean_density_ratio(env, log_policy)
    return exact


def win_rate(evaluator: Evaluator, log_policy: Array) -> Array:
    """P(y beats y') for y ~ pi, y' ~ pi_ref, (): `metrics.win_rate` from the laws of the reward's L levels.

    The table of all pairs, S A^2, is never formed: L^2 + S A.
    """
    env, size = evaluator.env, evaluator.levels.size
    chosen, reference = (_mass(evaluator.level, table, size) for table in (log_policy, env.log_reference))
    beats = jax.nn.sigmoid(evaluator.levels[:, None] - evaluator.levels[None, :])
    return jnp.einsum("x,xl,lm,xm->", env.context_probs, chosen, beats, reference)


def mean_density_ratio(env: Environment, log_policy: Array) -> Array:
    """E_x E_{y ~ pi*} pi*(y)/pi(y) = 1 + chi^2(pi* || pi), (); +inf where pi misses a response of pi*."""
    needed = jnp.isfinite(env.log_target)
    target = jnp.where(needed, env.log_target, 0.0)
    terms = jnp.where(needed, jnp.exp(2 * target - jnp.where(needed, log_policy, 0.0)), 0.0)
    return jnp.sum(jnp.where(env.context_probs > 0, env.context_probs * jnp.sum(terms, axis=1), 0.0))


def _mass(level: Array, log_policy: Array, size: int) -> Array:
    """(S, L) probability of every level of reward."""
    return jax.vmap(lambda index, probs: jnp.zeros(size, probs.dtype).at[index].add(probs))(level, jnp.exp(log_policy))
