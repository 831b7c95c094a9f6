"""Samplers: which pair is labelled next. A sampler maps (env, log pi_k (S, A)) to a pair law (S, A, A) of total mass 1.

A sampler is a function, or a `jax.tree_util.Partial` that carries arrays. One that needs to be set up for an
environment is wrapped in `Prepared`, whose setup runs once per run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jax import Array
from jax.tree_util import Partial

from banditlab.environment import Environment
from banditlab.samplers.designed import designed, half_designed, paired
from banditlab.samplers.policies import initial, on_policy, uniform

Sampler = Callable[[Environment, Array], Array]

__all__ = [
    "Prepared",
    "Sampler",
    "designed",
    "half_designed",
    "initial",
    "on_policy",
    "paired",
    "prepare",
    "uniform",
]


class Prepared(NamedTuple):
    """A sampler still to be set up: `setup(env)` returns what `law(setup, env, log_policy)` needs."""

    setup: Partial
    law: Partial


def prepare(sampler: Partial | Prepared, env: Environment) -> Partial:
    """The sampler ready for `env`."""
    if isinstance(sampler, Prepared):
        return Partial(sampler.law.func, *sampler.law.args, sampler.setup(env), **sampler.law.keywords)
    return sampler
