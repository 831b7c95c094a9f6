"""Samplers built on a preferential G-optimal design (docs/theory.md, section 5)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from banditlab.designs import Design
from banditlab.door import LogPolicy, door
from banditlab.environment import Environment
from banditlab.policies import independent_pairs


@door
def designed(design: Design, env: Environment, log_policy: LogPolicy) -> Array:
    """Pairs of the design only; (S, A, A)."""
    del env, log_policy
    return design.pair_law


@door
def half_designed(design: Design, env: Environment, log_policy: LogPolicy) -> Array:
    """Mixture: half the pairs on-policy, half from the design; (S, A, A)."""
    return 0.5 * independent_pairs(env, log_policy, log_policy) + 0.5 * design.pair_law


@door
def paired(design: Design, env: Environment, log_policy: LogPolicy) -> Array:
    """Hybrid: x from the design's contexts, y ~ pi_k paired with y' ~ nu(.|x) (Proposition 7); (S, A, A)."""
    del env
    return design.context_probs[:, None, None] * jnp.exp(log_policy)[:, :, None] * design.action_probs[:, None, :]
