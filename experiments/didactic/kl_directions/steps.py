"""Actual gradient steps on the logits of a categorical, down either KL by autodiff, and where their winner changes.

Nothing here knows the closed forms of `banditlab.mode_seeking`: divergences are sums, gradients are automatic.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import log_softmax

from banditlab.didactic.problem import Problem

_HALVINGS = 60
# Of either of the two bins under pi, in the plane.
MASS = 0.05
_BINS = 10
# Peak and width of the rewards.
BANDITS = {"R1": (70.0, 10.0), "R2": (20.0, 10.0), "wide": (20.0, 20.0)}
# Of p/((q1 + q2)/2) in the plane.
LOW, HIGH = 0.1, 6.0


def divergence(logits: Array, log_target: Array, is_reverse: Array) -> Array:
    """KL(q||pi), or KL(pi||q) where `is_reverse`."""
    log_policy = jax.nn.log_softmax(logits)
    forward = jnp.sum(jnp.exp(log_target) * (log_target - log_policy))
    return jnp.where(is_reverse, jnp.sum(jnp.exp(log_policy) * (log_policy - log_target)), forward)


def stepped(logits: Array, log_target: Array, is_reverse: Array, step: Array) -> Array:
    """(A,) logits after one gradient step."""
    return logits - step * jax.grad(divergence)(logits, log_target, is_reverse)


@jax.jit
def after_steps(logits: Array, log_target: Array, step: Array) -> Array:
    """(2, N, A) log-policies after one step forward and one reverse, from logits (N, A)."""
    one = jax.vmap(stepped, in_axes=(0, 0, None, None))
    both = jax.vmap(one, in_axes=(None, None, 0, None))(logits, log_target, jnp.asarray([False, True]), step)
    return jax.nn.log_softmax(both)


def ratio_moves(logits: np.ndarray, log_target: np.ndarray, step: float = 1.0) -> np.ndarray:
    """(2, N) change of log(pi_1/pi_2), actions 0 and 1, in one step forward and one reverse."""
    start = log_softmax(logits, axis=1)
    moved = np.asarray(after_steps(start, log_target, np.float64(step)))
    return (moved[:, :, 0] - moved[:, :, 1]) - (start[:, 0] - start[:, 1])


def mass_remainders(seed: int, num_draws: int, steps: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Random pi, q on 10 bins: change (2, K, N) of log pi(first three bins) by autodiff steps of K sizes."""
    generator = np.random.default_rng(seed)
    policies, targets = np.log(generator.dirichlet(np.ones(_BINS), (2, num_draws)))
    group = np.arange(_BINS) < 3
    # log pi(group) of the step less that of the start loses digits by cancellation; it is log1p of a small number.
    changes, start = [], log_softmax(policies, axis=1)
    for step in steps:
        moved = np.asarray(after_steps(policies, targets, np.float64(step)))
        grown = np.exp(start) * np.expm1(moved - start)
        changes.append(np.log1p(grown[..., group].sum(-1) / np.exp(start)[:, group].sum(-1)))
    return {"policies": policies, "targets": targets, "group": group, "change": np.stack(changes, axis=1)}


def plane_points(ratios: np.ndarray, covers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 10) log-policies and log-targets at q_1/q_2 = ratios (N,), p/((q_1 + q_2)/2) = covers (N,), p = 0.05."""
    mean = MASS / covers
    first, second = 2 * mean * ratios / (1 + ratios), 2 * mean / (1 + ratios)
    others = _BINS - 2
    policy = np.r_[np.full(2, MASS), np.full(others, (1 - 2 * MASS) / others)]
    rest = np.tile(((1 - 2 * mean) / others)[:, None], others)
    targets = np.concatenate([first[:, None], second[:, None], rest], axis=1)
    return np.log(np.tile(policy, (len(ratios), 1))), np.log(targets)


def plane_winners(ratios: np.ndarray, covers: np.ndarray) -> np.ndarray:
    """(N,) reverse move less forward move of the log ratio in one step, over the forward one."""
    forward, reverse = ratio_moves(*plane_points(ratios, covers))
    return reverse / forward - 1


def bisected(excess: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N,) zeros of an increasing function, elementwise and geometrically."""
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        short = excess(middle) < 0
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.sqrt(low * high)


def reverse_wins(num_draws: int, num_bins: int, seed: int) -> np.ndarray:
    """(num_draws,) whether reverse moves the ratio of two bins further, policy uniform, target so on the simplex."""
    targets = np.log(np.random.default_rng(seed).dirichlet(np.ones(num_bins), num_draws))
    targets[:, :2] = -np.sort(-targets[:, :2], axis=1)  # the first bin is the one with the larger target
    forward, reverse = ratio_moves(np.zeros_like(targets), targets)
    return reverse > forward


def twinned(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Reward and log-reference with a twin of the best action, of its mass and the last action's reward.

    The twin comes first but one, the best action first; the last action gives up the twin's mass, so that the law of
    the reward under the reference stays what it was.
    """
    reward, masses = np.asarray(problem.reward), np.exp(np.asarray(problem.log_reference))
    best = int(np.argmax(reward))
    rest = masses.copy()
    rest[-1] -= masses[best]
    order = np.r_[best, np.delete(np.arange(len(reward)), best)]
    reward = np.insert(reward[order], 1, reward[-1])
    return reward, np.log(np.insert(rest[order], 1, masses[best]))


def tilted(reward: np.ndarray, log_reference: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """(N, A) log of pi_ref e^{R/beta}/Z at every temperature."""
    return log_softmax(log_reference + reward / betas[:, None], axis=1)


def speed_ratios(reward: np.ndarray, log_reference: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """(N,) reverse over forward move of log pi(best)/pi(twin) in one step from pi_ref towards pi* of every beta."""
    starts = np.tile(log_reference, (len(betas), 1))
    forward, reverse = ratio_moves(starts, tilted(reward, log_reference, betas))
    return reverse / forward


def halfway_steps(starts: np.ndarray, log_targets: np.ndarray, step: float, max_steps: int) -> np.ndarray:
    """(2, N) number of steps, linear in between, until log(pi_1/pi_2) is half-way to the target's; inf if never."""
    return np.asarray(_halfway(starts, log_targets, np.float64(step), np.int64(max_steps)))


@jax.jit
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
