"""Samplers that are set up once for an environment, and the oracle, the one that knows theta*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array
from jax.tree_util import Partial

from banditlab import designs
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.numerics.compilation import LOOPS, inner
from banditlab.samplers.designed import designed

Sampler = Callable[[Environment, Array], Array]


class Prepared(NamedTuple):
    """A sampler still to be set up: `setup(env)` returns what `law(setup, env, log_policy)` needs."""

    setup: Partial
    law: Partial


@door
def prepare(sampler: Partial | Prepared, env: Environment) -> Partial:
    """The sampler ready for `env`."""
    if isinstance(sampler, Prepared):
        return Partial(sampler.law.func, *sampler.law.args, _set_up(sampler.setup, env), **sampler.law.keywords)
    return sampler


@inner(LOOPS)
def _set_up(setup: Partial, env: Environment) -> Any:
    return setup(env)


def _l_optimal_conditional(env: Environment) -> designs.Design:
    return designs.l_optimal(env, constraint="conditional")


# The L-optimal oracle: pairs of the cheapest label price there is, for free prompts and for x ~ rho. It knows theta*,
# so it is a yardstick and not a sampler one could use.
oracle = Prepared(Partial(designs.l_optimal), Partial(designed))
oracle_conditional = Prepared(Partial(_l_optimal_conditional), Partial(designed))
