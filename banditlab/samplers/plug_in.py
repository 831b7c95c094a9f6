"""Samplers whose design is computed at the current estimate, as if pi_k were pi* (locally optimal designs)."""

from __future__ import annotations

from jax import Array

from banditlab import designs
from banditlab.door import LogPolicy, door
from banditlab.environment import Environment
from banditlab.samplers.tilted import implicit_reward

# A design inside a round: with this gap every eigenvalue of its H is within sqrt(d gap) of the optimum's, relatively.
GAP = 1e-4


@door
def reweighted(env: Environment, log_policy: LogPolicy) -> Array:
    """Pairs of the design that maximises log det H(nu) at theta_k, free prompts; (S, A, A).

    The G-optimal design maximises log det M(nu): this one counts each zz' by sigma' at the current estimate, and
    is that design itself where pi_k = pi_ref. One design is solved per round.
    """
    return designs.d_optimal(plug_in(env, log_policy), gap=GAP).pair_law


@door
def reweighted_conditional(env: Environment, log_policy: LogPolicy) -> Array:
    """`reweighted` with x ~ rho; (S, A, A)."""
    return designs.d_optimal(plug_in(env, log_policy), constraint="conditional", gap=GAP).pair_law


@door
def plug_in_oracle(env: Environment, log_policy: LogPolicy) -> Array:
    """Pairs of the design that minimises tr(V(pi_k) H(nu)^{-1}) at theta_k, free prompts; (S, A, A).

    The L-optimal oracle with the current estimate in place of theta*: no oracle any more.
    """
    return designs.l_optimal(plug_in(env, log_policy), gap=GAP).pair_law


def plug_in(env: Environment, log_policy: Array) -> Environment:
    """`env` with the implicit reward of the policy (S, A) for its reward, so that the policy is its pi*."""
    return env.replace(reward=implicit_reward(env, log_policy))
