"""The bandits of two actions and what the library measures on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import metrics, partial_coverage

if TYPE_CHECKING:
    from experiments.partial_coverage.reward_accuracy.experiment import Config


def measure(config: Config) -> dict[str, np.ndarray]:
    """objective J(pi), gap, error eps and bound sqrt(C eps) by the library, in the order of the settings."""
    rows = []
    for beta, reward, mass in settings(config):
        with np.errstate(divide="ignore"):
            log_reference = np.log([[1 - mass, mass]])
        rows.append(bl.instances.tabular([[0.0, reward]], log_reference, beta=beta))
    env = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    return {name: np.asarray(values) for name, values in _measured(env).items()}


@jax.jit
@jax.vmap
def _measured(env):
    log_policy = jnp.full((1, 2), jnp.log(0.5))
    reward = partial_coverage.implicit_reward(env, log_policy)
    error = partial_coverage.squared_error(env, env.log_reference, reward)
    constant = partial_coverage.least_constant(env, env.log_reference, log_policy)
    return {
        "objective": partial_coverage.objective(env, log_policy),
        "gap": metrics.gap(env, log_policy),
        "error": error,
        "bound": partial_coverage.gap_bound(error, constant),
    }


def settings(config: Config) -> Iterator[tuple[float, float, float]]:
    for beta in config.betas:
        for reward in config.rewards:
            yield from ((beta, reward, 10.0**-decade) for decade in range(1, config.decades + 1))
            yield beta, reward, 0.0
