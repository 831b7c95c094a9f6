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
    return started(algorithm, env, env.start_params)


def started(algorithm: Algorithm, env: Environment, params: Array) -> State:
    """The state of `init` with other parameters (d,)."""
    wins = jnp.zeros((env.num_contexts, env.num_actions, env.num_actions), env.features.dtype)
    sampler = samplers.prepare(algorithm.settings["sampler"], env)
    return State(params, env.log_initial, wins, sampler)


def reference(env: Environment) -> Array:
    """(d,) where a ridge pulls: the parameters of pi_ref, or those of pi_0 where pi_ref is not in the class."""
    return env.reference_params if env.reference_params is not None and env.holds_reference else env.start_params
