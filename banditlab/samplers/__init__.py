"""Samplers: which pair is labelled next. A sampler maps (env, log pi_k (S, A)) to a pair law (S, A, A) of total mass 1.

A sampler is a function, or a `jax.tree_util.Partial` that carries arrays. One that needs to be set up for an
environment is wrapped in `Prepared`, whose setup `simulate` runs once per environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.tree_util import Partial

from banditlab import designs
from banditlab.environment import Environment
from banditlab.samplers.designed import designed, half_designed, paired
from banditlab.samplers.greedy import greedy_leverage
from banditlab.samplers.plug_in import plug_in_oracle, reweighted, reweighted_conditional
from banditlab.samplers.policies import initial, on_policy, policy_reference, two_stage, uniform
from banditlab.samplers.tilted import mix_p, mix_r, pilaf, pilaf_weighted

Sampler = Callable[[Environment, Array], Array]

__all__ = [
    "Prepared",
    "Sampler",
    "designed",
    "greedy_leverage",
    "half_designed",
    "initial",
    "mix_p",
    "mix_r",
    "on_policy",
    "oracle",
    "oracle_conditional",
    "paired",
    "pilaf",
    "pilaf_weighted",
    "plug_in_oracle",
    "policy_reference",
    "prepare",
    "reweighted",
    "reweighted_conditional",
    "two_stage",
    "uniform",
]


class Prepared(NamedTuple):
    """A sampler still to be set up: `setup(env)` returns what `law(setup, env, log_policy)` needs."""

    setup: Partial
    law: Partial


def prepare(sampler: Partial | Prepared, env: Environment) -> Partial:
    """The sampler ready for `env`."""
    if isinstance(sampler, Prepared):
        return Partial(sampler.law.func, *sampler.law.args, _set_up(sampler.setup, env), **sampler.law.keywords)
    return sampler


@jax.jit  # else a setup called outside a run would compile its loops anew
def _set_up(setup: Partial, env: Environment) -> Any:
    return setup(env)


def _l_optimal_conditional(env: Environment) -> designs.Design:
    return designs.l_optimal(env, constraint="conditional")


# The L-optimal oracle: pairs of the cheapest label price there is, for free prompts and for x ~ rho. It knows theta*,
# so it is a yardstick and not a sampler one could use.
oracle = Prepared(Partial(designs.l_optimal), Partial(designed))
oracle_conditional = Prepared(Partial(_l_optimal_conditional), Partial(designed))
