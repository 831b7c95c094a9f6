"""Gradient steps on the logits of a categorical down either KL, by autodiff: KL(q||pi) forward, KL(pi||q) reverse.

Nothing here knows the closed forms of `banditlab.theory.mode_seeking`: divergences are sums, gradients are automatic.
The direction is always a leading axis of two, forward first.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import log_softmax

from banditlab import law_checks, validation
from banditlab.door import Count, Finite, Flag, Scalar, Shape, door
from banditlab.numerics.compilation import LOOPS, inner

__all__ = [
    "after_steps",
    "divergence",
    "halfway_steps",
    "mass_changes",
    "ratio_moves",
    "reverse_wins",
    "speed_ratios",
    "stepped",
]


Line = Annotated[Array, Shape(("A",), law_checks.logits)]
Lines = Annotated[Array, Shape(("N", "A"), law_checks.logits)]
LogLine = Annotated[Array, Shape(("A",), law_checks.positive_log_probs)]
LogLines = Annotated[Array, Shape(("N", "A"), law_checks.positive_log_probs)]
Tables = Annotated[np.ndarray, Shape(("N", "A"), law_checks.logits)]
LogTables = Annotated[np.ndarray, Shape(("N", "A"), law_checks.positive_log_probs)]


@door
def divergence(logits: Line, log_target: LogLine, is_reverse: Flag) -> Array:
    """KL(q||pi), or KL(pi||q) where `is_reverse`."""
    log_policy = jax.nn.log_softmax(logits)
    forward = jnp.sum(jnp.exp(log_target) * (log_target - log_policy))
    return jnp.where(is_reverse, jnp.sum(jnp.exp(log_policy) * (log_policy - log_target)), forward)


@door
def stepped(logits: Line, log_target: LogLine, is_reverse: Flag, step: Scalar) -> Array:
    """(A,) logits after one gradient step."""
    return logits - step * jax.grad(divergence)(logits, log_target, is_reverse)


@door
@inner(LOOPS)
def after_steps(logits: Lines, log_target: LogLines, step: Scalar) -> Array:
    """(2, N, A) log-policies after one step forward and one reverse, from logits (N, A)."""
    one = jax.vmap(stepped, in_axes=(0, 0, None, None))
    both = jax.vmap(one, in_axes=(None, None, 0, None))(logits, log_target, jnp.asarray([False, True]), step)
    return jax.nn.log_softmax(both)


@door
def ratio_moves(logits: Tables, log_target: LogTables, step: Finite = 1.0) -> np.ndarray:
    """(2, N) change of log(pi_1/pi_2), actions 0 and 1, in one step forward and one reverse."""
    start = log_softmax(logits, axis=1)
    moved = np.asarray(after_steps(jnp.asarray(start), jnp.asarray(log_target), jnp.float64(step)))
    return (moved[:, :, 0] - moved[:, :, 1]) - (start[:, 0] - start[:, 1])


@door
def speed_ratios(logits: Tables, log_target: LogTables) -> np.ndarray:
    """(N,) reverse over forward change of log(pi_1/pi_2) in one step.

    Raises:
        ValueError: where forward does not move the ratio.
    """
    forward, reverse = ratio_moves(logits, log_target)
    if not forward.all():
        still = int(forward.astype(bool).argmin())
        raise ValueError(f"logits and log_target must be apart in the first two actions; got no change in row {still}")
    return reverse / forward


@door
def mass_changes(
    log_policy: Tables,
    log_target: LogTables,
    group: Annotated[np.ndarray, Shape(("A",), validation.flags)],
    steps: tuple[Finite, ...],
):
    """(2, K, N) change of log pi(group) in one step of every size, from (N, A) log-masses."""
    # log pi(group) of the step less that of the start loses digits by cancellation; it is log1p of a small number.
    changes, start = [], log_softmax(log_policy, axis=1)
    if not group.any():
        raise ValueError("group must hold an action; got none")
    for step in steps:
        moved = np.asarray(after_steps(jnp.asarray(log_policy), jnp.asarray(log_target), jnp.float64(step)))
        grown = np.exp(start) * np.expm1(moved - start)
        changes.append(np.log1p(grown[..., group].sum(-1) / np.exp(start)[:, group].sum(-1)))
    return np.stack(changes, axis=1)


@door
def reverse_wins(num_draws: Count, num_bins: Count, seed: int) -> np.ndarray:
    """(num_draws,) whether reverse moves the ratio of two bins further, policy uniform, target so on the simplex."""
    if num_bins < 2:
        raise ValueError(f"num_bins must be at least 2; got {num_bins}")
    validation.tables("num_draws * num_bins", num_draws * num_bins)
    seed = validation.index("seed", seed)
    targets = np.log(np.random.default_rng(seed).dirichlet(np.ones(num_bins), num_draws))
    targets[:, :2] = -np.sort(-targets[:, :2], axis=1)  # the first bin is the one with the larger target
    forward, reverse = ratio_moves(np.zeros_like(targets), targets)
    return reverse > forward


@door
def halfway_steps(starts: Tables, log_targets: LogTables, step: Finite, max_steps: Count) -> np.ndarray:
    """(2, N) number of steps, linear in between, until log(pi_1/pi_2) is half-way to the target's; inf if never."""
    return np.asarray(_halfway(jnp.asarray(starts), jnp.asarray(log_targets), jnp.float64(step), jnp.int64(max_steps)))


@inner(LOOPS)
def _halfway(starts: Array, log_targets: Array, step: Array, max_steps: Array) -> Array:
    def one(start, log_target, is_reverse):
        goal = (start[0] - start[1] + log_target[0] - log_target[1]) / 2

        def unfinished(carry):
            count, _, logits = carry
            return (logits[0] - logits[1] < goal) & (count < max_steps)

        def body(carry):
            count, _, logits = carry
            return count + 1, logits, stepped(logits, log_target, is_reverse, step)

        first = (jnp.int64(0), start, start)
        count, before, now = jax.lax.while_loop(unfinished, body, first)
        reached, short = now[0] - now[1], before[0] - before[1]
        exact = (count - 1).astype(goal.dtype) + (goal - short) / jnp.where(reached > short, reached - short, 1.0)
        return jnp.where(reached >= goal, exact, jnp.inf)

    lanes = jax.vmap(one, in_axes=(0, 0, None))
    return jax.vmap(lanes, in_axes=(None, None, 0))(starts, log_targets, jnp.asarray([False, True]))


def __dir__() -> list[str]:
    return __all__
