"""What the algorithms that fit theta to wins carry from round to round."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from banditlab import samplers
from banditlab.algorithms.base import Algorithm
from banditlab.environment import Environment


class State(NamedTuple):
    """Parameters (d,) last fitted, the policy's table (S, A), the wins (S, A, A) they were fitted to, the sampler."""

    params: Array
    log_policy: Array
    wins: Array
    sampler: Partial


def init(algorithm: Algorithm, key: Array, env: Environment) -> State:
    """pi_0, no wins, and `settings["sampler"]` ready for the environment."""
    del key
    wins = jnp.zeros((env.num_contexts, env.num_actions, env.num_actions), env.features.dtype)
    sampler = samplers.prepare(algorithm.settings["sampler"], env)
    return State(env.start_params, env.log_initial, wins, sampler)
