"""What is measured of a policy table (S, A); every value exact, by summation over the finite bandit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import coverage, policies
from banditlab.door import LogPolicy, door
from banditlab.environment import Environment
from banditlab.preferences import reward_gaps

__all__ = ["METRICS", "expected_reward", "gap", "kl_reference", "kl_target", "measure", "win_rate"]


@door
def kl_target(env: Environment, log_policy: LogPolicy) -> Array:
    """E_x KL(pi* || pi), ()."""
    return policies.kl(env, env.log_target, log_policy)


@door
def kl_reference(env: Environment, log_policy: LogPolicy) -> Array:
    """E_x KL(pi || pi_ref), (); +inf for a policy that plays where pi_ref has no mass."""
    return policies.kl(env, log_policy, env.log_reference)


@door
def gap(env: Environment, log_policy: LogPolicy) -> Array:
    """J(pi*) - J(pi) = beta E_x KL(pi || pi*) for every policy (I3), (); +inf where J = -inf."""
    return env.beta * policies.kl(env, log_policy, env.log_target)


@door
def expected_reward(env: Environment, log_policy: LogPolicy) -> Array:
    """E_x E_{y ~ pi} r*(x, y), ()."""
    return jnp.einsum("x,xa,xa->", env.context_probs, jnp.exp(log_policy), env.reward)


@door
def win_rate(env: Environment, log_policy: LogPolicy) -> Array:
    """P(y beats y') for y ~ pi, y' ~ pi_ref independent given x, (); a tie counts one half."""
    pairs = policies.independent_pairs(env, log_policy, env.log_reference)
    return jnp.sum(pairs * jax.nn.sigmoid(reward_gaps(env)))


METRICS: Mapping[str, Callable[[Environment, Array], Array]] = {
    "kl_target": kl_target,
    "gap": gap,
    "kl_reference": kl_reference,
    "coverage_operator": coverage.operator,
    "coverage_trace": coverage.trace,
    "expected_reward": expected_reward,
    "win_rate": win_rate,
}


@door
def measure(env: Environment, log_policy: LogPolicy, names: tuple[str, ...] = tuple(METRICS)) -> dict[str, Array]:
    """The named metrics of a policy table (S, A), each (); inf where a function says so, as for mass that pi_ref lacks.

    Raises:
        ValueError: for a name that is not in `METRICS`.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"names must be among {', '.join(METRICS)}; got {', '.join(map(repr, unknown))}")
    both = ("coverage_operator", "coverage_trace")
    shared = dict(zip(both, coverage.operator_and_trace(env, log_policy), strict=True)) if {*both} <= {*names} else {}
    return {name: shared[name] if name in shared else METRICS[name](env, log_policy) for name in names}


def __dir__() -> list[str]:
    return __all__
