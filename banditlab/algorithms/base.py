"""The algorithm protocol: three pure functions and their numbers, as one frozen pytree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import samplers, validation
from banditlab.door import Key, door
from banditlab.environment import Environment
from banditlab.numerics import compilation

State = Any

_ready = compilation.outermost(samplers.prepare, optimized=False)


class RoundInfo(NamedTuple):
    """What a step reports.

    Attributes:
        num_labels: () labels bought this round, dropped pairs included.
        status: () int8 `Status` of the round's fit.
        existence: () int8 `Existence` of the unregularised optimum of the round's data.
    """

    num_labels: Array
    status: Array
    existence: Array


def carried(algorithm: Algorithm, state: State, env: Environment) -> Array:
    """(S, A) the policy of a state that carries its log-probabilities as `log_policy`."""
    del algorithm, env
    return state.log_policy


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An algorithm for `simulate`. Functions and options are static; settings are leaves, so changing a number
    (or calling a factory again) does not recompile.

    Attributes:
        name: for tables and plots.
        init_fn: (algorithm, key, env) -> state, with `state.params` the parameters of the current policy.
        step_fn: (algorithm, key, state, env) -> (state, RoundInfo); one round.
        policy_fn: (algorithm, state, env) -> (S, A) log-probabilities of the current policy.
        settings: pytree of arrays (and of `jax.tree_util.Partial` functions that carry arrays).
        options: hashable choices that select the code to compile.
    """

    name: str = dataclasses.field(metadata={"static": True})
    init_fn: Callable[..., State] = dataclasses.field(metadata={"static": True})
    step_fn: Callable[..., tuple[State, RoundInfo]] = dataclasses.field(metadata={"static": True})
    policy_fn: Callable[..., Array] = dataclasses.field(metadata={"static": True})
    settings: Any = ()
    options: Any = dataclasses.field(default=(), metadata={"static": True})

    @classmethod
    def create(
        cls,
        name: str,
        *,
        init: Callable[..., State],
        step: Callable[..., tuple[State, RoundInfo]],
        log_policy: Callable[..., Array] = carried,
        settings: Mapping[str, Any] | None = None,
        options: Hashable = (),
    ) -> Algorithm:
        """Build an algorithm; every Python number in `settings` becomes a float64 array leaf.

        Args:
            init, step, log_policy: `init_fn`, `step_fn` and `policy_fn`; the policy is `state.log_policy` by default.
        """
        dtype = jnp.result_type(float)
        converted = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), dict(settings or {}))
        return cls(name, init, step, log_policy, converted, options)

    def prepare(self, env: Environment) -> Algorithm:
        """The algorithm with its samplers set up for `env`: what no seed changes, done once; not to be traced."""

        def ready(leaf: Any) -> Any:
            return _ready(leaf, env) if isinstance(leaf, samplers.Prepared) else leaf

        settings = jax.tree.map(ready, self.settings, is_leaf=lambda leaf: isinstance(leaf, samplers.Prepared))
        return dataclasses.replace(self, settings=settings)

    @door
    def init(self, key: Key, env: Environment) -> State:
        """The state before the first round."""
        return self.init_fn(self, key, env)

    @door
    def step(self, key: Key, state: State, env: Environment) -> tuple[State, RoundInfo]:
        """One round: buy labels, update."""
        if validation.is_concrete((self, key, state, env)):
            return _step(self, key, state, env)
        return self.step_fn(self, key, state, env)

    @door
    def log_policy(self, state: State, env: Environment) -> Array:
        """(S, A) log-probabilities of the current policy."""
        return self.policy_fn(self, state, env)


@compilation.inner("an eager round takes 0.05 to 2 s")
def _step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    return algorithm.step_fn(algorithm, key, state, env)
