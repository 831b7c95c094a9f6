"""Reward distillation in rounds: the margin regressed on reward differences (docs/theory.md, section 6)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from numpy.typing import ArrayLike

from banditlab import samplers, validation
from banditlab.algorithms import batches
from banditlab.algorithms.base import Algorithm, RoundInfo
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import Existence, Status
from banditlab.estimators.regression import least_squares


class State(NamedTuple):
    """What a run carries.

    Attributes:
        params: (d,) of the current policy.
        log_policy: (S, A) its table.
        counts: (S, A, A) how often the pair i < j was shown in the data last fitted, in either order.
        noise: (S, A, A) for the same pairs, the sum of the noise of their observations in units of its deviation.
        sampler: ready for the environment.
    """

    params: Array
    log_policy: Array
    counts: Array
    noise: Array
    sampler: Partial


@door
def reward_distillation(
    num_pairs: float,
    noise: float = 0.0,
    on_policy: bool = True,
    *,
    sampler: samplers.Sampler | samplers.Prepared | None = None,
    teacher: ArrayLike | None = None,
    damping: float = 1.0,
    pooled: bool | float = False,
    name: str = "reward_distillation",
) -> Algorithm:
    """Reward distillation: each round regresses the margin on `num_pairs` observed reward differences.

    theta' is the least-squares solution of beta theta'z_i = r(x_i, y_i) - r(x_i, y'_i) + noise * N(0, 1), r the
    teacher's reward, on the fresh batch or on all pairs so far (pooled), without ridge: among several solutions it
    is the one nearest to theta_k. Then theta_{k+1} = theta_k + damping (theta' - theta_k). A round costs the same for
    any num_pairs: the counts of the pairs are one multinomial draw, and the noise enters through the means of the
    cells. The round's existence is `exists` when the observed differences span, else `undetermined`.

    Args:
        num_pairs: pairs bought per round, a whole number >= 1; inf fits the pair law itself, free of noise.
        noise: standard deviation tau of every observed difference.
        on_policy: pairs from pi_k x pi_k; False: from the never-refreshed pi_0 x pi_0.
        sampler: (env, log_policy) -> pair law (S, A, A), instead of these two.
        teacher: (S, A) rewards; the true ones by default.
        damping: share in (0, 1] of the way to the solution that is gone.
        pooled: fit all pairs so far instead of the fresh batch; or the weight they keep a round, as in `dpo`.
        name: for tables and plots.

    Raises:
        ValueError: naming the argument that is out of range; at the first round for a teacher of another shape.
    """
    pairs, branch = batches.size(num_pairs)
    validation.positive("noise", noise, zero=True)
    if validation.positive("damping", damping) > 1:
        raise ValueError(f"damping must be at most 1; got {damping}")
    if sampler is None:
        sampler = samplers.on_policy if on_policy else samplers.initial
    elif not on_policy:
        raise ValueError(f"on_policy must be left out when a sampler is given; got {on_policy} and {sampler}")
    rewards = None if teacher is None else validation.array("teacher", teacher, ("num_contexts", "num_actions"))
    return Algorithm.create(
        name,
        init=_init,
        step=_step,
        settings={
            "sampler": batches.as_sampler(sampler),
            "teacher": rewards,
            "num_pairs": pairs,
            "noise": float(noise),
            "damping": float(damping),
            "memory": batches.memory(pooled),
        },
        options=branch,
    )


def _init(algorithm: Algorithm, key: Array, env: Environment) -> State:
    del key
    if algorithm.settings["teacher"] is not None:
        validation.shape("teacher", algorithm.settings["teacher"], (env.num_contexts, env.num_actions))
    nothing = jnp.zeros((env.num_contexts, env.num_actions, env.num_actions), env.features.dtype)
    sampler = samplers.prepare(algorithm.settings["sampler"], env)
    return State(env.start_params, env.log_initial, nothing, nothing, sampler)


def _step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    settings, branch = algorithm.settings, algorithm.options
    key_pairs, key_noise = jax.random.split(key)
    drawn = batches.draw(key_pairs, state.sampler(env, state.log_policy), settings["num_pairs"], branch)
    # The difference of a pair has one value, up to its sign, whichever action comes first.
    drawn = jnp.triu(drawn + jnp.swapaxes(drawn, 1, 2), k=1)
    counts = drawn + settings["memory"] * state.counts
    noise = settings["memory"] * state.noise
    if not branch.population:
        noise = noise + jnp.sqrt(drawn) * jax.random.normal(key_noise, drawn.shape, drawn.dtype)
    reward = env.reward if settings["teacher"] is None else settings["teacher"]
    mean_noise = settings["noise"] * noise / jnp.where(counts > 0, counts, 1.0)
    observed = reward[:, :, None] - reward[:, None, :] + mean_noise
    fit = least_squares(env, counts, observed, state.params)
    params = state.params + settings["damping"] * (fit.params - state.params)
    info = RoundInfo(
        settings["num_pairs"],
        jnp.where(fit.finite, Status.converged, Status.nonfinite).astype(jnp.int8),
        jnp.where(fit.spans, Existence.exists, Existence.undetermined).astype(jnp.int8),
    )
    return State(params, env.log_policy(params), counts, noise, state.sampler), info
