"""Gradient descents from the reference on one bandit, a lane per penalty on KL(pi||pi_ref): DPO's is 0."""

import jax
from jax import Array

import banditlab as bl
from banditlab.estimators.descent import descend


def from_reference(
    env: bl.Environment, wins: Array, penalties: Array, step_sizes: Array, record_at: Array
) -> tuple[Array, Array]:
    """(P, R, S, A) log-policies of a tabular bandit at the steps of `record_at`; (P,) norms of the last gradient."""
    start = env.log_reference.reshape(-1)

    def one(penalty, step_size):
        found = descend(jax.random.key(0), env, wins, start, record_at=record_at, step_size=step_size, penalty=penalty)
        return jax.vmap(env.log_policy)(found.params), found.gradient_norm[-1]

    return jax.vmap(one)(penalties, step_sizes)
