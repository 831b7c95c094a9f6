"""The training runs of `one_sided_data`, and the names of its methods."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import trajectories
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.partial_coverage.one_sided_data.experiment import Config

DPO, HYPO, RLHF = "dpo", "hypo", "rlhf"
# The grid of lambda: independent of what is predicted, and wide enough for every critical value.
_LOWEST, _HIGHEST = 0.06, 0.75


def train(config: Config, num_actions: int) -> dict[str, np.ndarray]:
    """Gap and KL (curves, R) at `steps`, the status at their ends, and that of the grid's runs (betas, lambdas)."""
    env = bl.instances.tabular(np.eye(num_actions)[:1])
    wins = np.zeros((1, num_actions, num_actions))
    wins[0, 0, 1:] = 1.0
    curves = curves_of(config, num_actions)
    labelled = [curve for curve in curves if curve[0] != RLHF]
    beta, penalty = (values.ravel() for values in np.meshgrid(config.betas, penalties(config), indexing="ij"))
    beta = np.concatenate([[curve[2] for curve in labelled], beta])
    penalty = np.concatenate([[curve[3] for curve in labelled], penalty])
    steps = np.unique(np.round(np.geomspace(1, config.num_steps, config.num_records)).astype(int))
    settings: dict[str, Any] = {"record_at": steps, "step_size": config.step_size, "metrics": ()}
    many = np.broadcast_to(wins, (len(beta), *wins.shape))
    runs = [trajectories.paths(env, many, penalty=penalty, beta=beta, **settings)]
    grid = runs[0]["status"][len(labelled) :].reshape(len(config.betas), -1)
    for _, _, temperature, _, bound in curves[len(labelled) :]:
        # KL(pi||pi_ref) - E_pi r/beta is, but for a constant, the KL to the reference tilted by the reward.
        tilted = jax.nn.log_softmax(env.log_reference + bounded_reward(env, wins, bound) / temperature)
        # The run starts at the labels' reference, not at the tilted one.
        shifted = env.replace(log_reference=tilted, initial_params=np.zeros(env.num_features))
        runs.append(trajectories.paths(shifted, 0 * wins[None], penalty=1.0, **settings))
    log_policy = np.concatenate([found["log_policy"][: len(labelled)] for found in runs])
    end = np.concatenate([found["status"][: len(labelled)] for found in runs])
    divergence = jax.jit(jax.vmap(jax.vmap(partial(bl.metrics.kl_reference, env))))(jnp.asarray(log_policy))
    return {
        "steps": steps,
        "gap": log_policy[:, :, 0, 0] - log_policy[:, :, 0, 1:].mean(axis=2),
        "kl": np.asarray(divergence),
        "end": end,
        "grid": grid,
    } | failures(
        {
            "runs not finite": np.append(end, grid) == bl.Status.nonfinite,
            "curves short of a stationary point": end == bl.Status.max_steps,
        }
    )


def bounded_reward(env: bl.Environment, wins: np.ndarray, bound: float) -> jax.Array:
    """(1, A) the likelihood's maximum over centred rewards in the ball that holds all with |r| <= bound, at beta = 1.

    By symmetry the losers share one reward, so that it is the maximum over rewards with gaps of at most 2 bound.
    """
    radius = 2 * bound * math.sqrt(1 - 1 / env.num_actions)
    fitted = jax.jit(bl.estimators.fit)(env, jnp.asarray(wins), max_norm=radius)
    return jnp.einsum("xad,d->xa", env.features, fitted.params)


def penalties(config: Config) -> np.ndarray:
    """The grid of lambda: a fixed ratio apart."""
    count = math.ceil(math.log(_HIGHEST / _LOWEST) / math.log(config.ratio))
    return _LOWEST * config.ratio ** np.arange(count + 1)


def curves_of(config: Config, num_actions: int) -> list[tuple[str, int, float, float, float]]:
    """The curves with this number of actions; those on a reward come last."""
    return sorted((curve for curve in config.curves if curve[1] == num_actions), key=lambda curve: curve[0] == RLHF)
