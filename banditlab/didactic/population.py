"""Infinite-data versions of the losses: exact sums over the actions, for a policy that ignores the state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import losses as margin_losses
from banditlab import validation
from banditlab.didactic import losses
from banditlab.didactic.problem import LogLine, Problem, expected_reward, law_of_best
from banditlab.didactic.settings import DEFAULTS, Settings
from banditlab.door import door

__all__ = ["LABEL_MODES", "population", "winner_probs"]

LABEL_MODES = ("deterministic", "bradley_terry")


@door
def population(
    algorithm: str,
    problem: Problem,
    log_policy: LogLine,
    settings: Settings = DEFAULTS,
    *,
    num_samples: int | Array = 10,
    log_behaviour: LogLine | None = None,
    label_mode: str = "deterministic",
) -> Array:
    """The limit of a loss of `losses.ALGORITHMS` as the number of states grows; differentiable in log_policy (A,).

    With b the law of the draws: Best-of-N is -sum_a q(a) log pi(a), q the exact law of the best of N; pairs are
    averaged over b x b given that they are kept; baselines and the mean of AWR are E_b R, their limit for large N.

    Args:
        log_policy: (A,) log pi, of all actions that b plays.
        num_samples: N, read by the best-of-N losses alone.
        log_behaviour: (A,) log b; the reference by default.
        label_mode: "deterministic" or "bradley_terry", of the losses of pairs.

    Raises:
        ValueError: for an unknown algorithm or label mode, shapes that differ, N < 1 (2 for negative gradients).
    """
    validation.choice("algorithm", algorithm, tuple(losses.ALGORITHMS))
    validation.choice("label_mode", label_mode, LABEL_MODES)
    validation.shape("log_policy", log_policy, problem.reward.shape)
    if algorithm.startswith("best_of_n") and validation.is_concrete(num_samples):
        least = losses.ALGORITHMS[algorithm].least_samples
        if not validation.number("num_samples", num_samples) >= least:
            raise ValueError(f"num_samples must be at least {least} for algorithm {algorithm!r}; got {num_samples}")
    log_law = problem.log_reference if log_behaviour is None else log_behaviour
    law = jnp.exp(log_law)
    played = jnp.isfinite(log_law)
    # Actions that are never drawn carry no weight, whatever their logarithms.
    safe = jnp.where(played, log_policy, 0.0)
    if algorithm.startswith("best_of_n"):
        return _best_of_n(algorithm, problem, log_law, safe, settings, num_samples)
    if losses.ALGORITHMS[algorithm].uses_labels:
        ratio = safe - jnp.where(played, problem.log_reference, 0.0)
        return _pairs(algorithm, problem.reward, law, safe, ratio, settings, label_mode)
    return -jnp.sum(law * _weighted(algorithm, problem, log_law, safe, settings))


@door
def winner_probs(problem: Problem, settings: Settings, label_mode: str) -> tuple[Array, Array]:
    """(A, A) P(i beats j | kept) and whether the pair (i, j) is kept, one or zero."""
    gap = problem.reward[:, None] - problem.reward[None, :]
    if label_mode == "bradley_terry":
        return jax.nn.sigmoid(gap / settings.temperature), (jnp.abs(gap) >= settings.threshold).astype(gap.dtype)
    return (gap > 0).astype(gap.dtype), (jnp.abs(gap) > settings.threshold).astype(gap.dtype)


def _best_of_n(algorithm, problem: Problem, log_law, log_policy, settings: Settings, num_samples) -> Array:
    best = jnp.sum(law_of_best(problem.reward, log_law, num_samples) * log_policy)
    if algorithm == "best_of_n":
        return -best
    if algorithm == "best_of_n_worst":
        pushed = jnp.sum(law_of_best(-problem.reward, log_law, num_samples) * log_policy)
    else:
        pushed = (num_samples * jnp.sum(jnp.exp(log_law) * log_policy) - best) / (num_samples - 1)
    return -best + settings.negative_weight * pushed


def _pairs(algorithm, reward, law, log_policy, ratio, settings: Settings, label_mode) -> Array:
    wins, kept = winner_probs(Problem(reward, reward), settings, label_mode)
    mass = law[:, None] * law[None, :] * kept
    total = jnp.sum(mass)
    # Ordered pairs (winner, loser): each unordered pair comes twice, in either order of drawing.
    weight = 2.0 * mass * wins / jnp.where(total > 0, total, 1.0)
    margin = ratio[:, None] - ratio[None, :]
    if algorithm == "pref_ft":
        value = -jnp.broadcast_to(log_policy[:, None], margin.shape)
    elif algorithm == "dpo":
        value = margin_losses.dpo(settings.beta * margin)
    else:
        value = margin_losses.ipo(margin, jnp.asarray(settings.ipo_target, margin.dtype))
    return jnp.sum(weight * value)


def _weighted(algorithm, problem: Problem, log_law, log_policy, settings: Settings) -> Array:
    """(A,) what the mean of the loss takes of every action, less the sign."""
    if algorithm == "rwr":
        return jnp.minimum(jnp.exp(problem.reward / settings.beta), settings.weight_cap) * log_policy
    if algorithm == "awr":
        advantage = problem.reward - expected_reward(problem, log_law)
        return jnp.minimum(jnp.exp(advantage / settings.beta), settings.weight_cap) * log_policy
    drawn = jnp.where(jnp.isfinite(log_law), log_law, 0.0)
    reference = jnp.where(jnp.isfinite(log_law), problem.log_reference, 0.0)
    shaped = problem.reward - settings.entropy * drawn - settings.kl_weight * (drawn - reference)
    advantage = shaped - jnp.sum(jnp.exp(log_law) * (problem.reward if algorithm == "reinforce_running" else shaped))
    if algorithm == "ppo":
        return losses.clipped(jnp.exp(log_policy - drawn), advantage, settings)
    return advantage * log_policy


def __dir__() -> list[str]:
    return __all__
