"""Exact-gradient descent on the population DPO loss of a tabular softmax; (1) and (2) are those of `gradient_rates`."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab.exact import gradient_rates

# Rewards and reference.
INSTANCES: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "2 actions": ((0.0, 1.5), (0.5, 0.5)),
    "3 actions": ((0.0, 0.8, 2.0), (1 / 3, 1 / 3, 1 / 3)),
    "3 actions, skewed reference": ((0.0, 0.6, 1.5), (0.6, 0.3, 0.1)),
}
OWN_STEP = ("mix_r", "mix_p")
SAMPLERS = ("uniform", "on_policy", "policy_reference", "pilaf_weighted", *OWN_STEP)
# Rounding of the reward differences, of order one: a few operations each; nothing below is looked at.
ROUNDING = 8 * np.finfo(float).eps
SMALLEST = 1e-11


def descend(instance: str, beta: float, num_steps: int) -> dict[str, np.ndarray]:
    """Per sampler: errors max |d_ij| and their images under (2), (num_steps + 1,); predicted rate; bend of (1)."""
    reward, reference = (np.asarray(value, float) for value in INSTANCES[instance])
    env = bl.instances.tabular(reward[None], np.log(reference)[None], beta=beta)
    columns = {}
    for sampler in SAMPLERS:
        law = np.asarray(getattr(bl.samplers, sampler)(env, env.log_target))[0]
        rate, step, bend = gradient_rates.linear_theory(law, reward, beta)
        errors = reward[None, :] - np.asarray(_paths(env, sampler, jnp.asarray(step), num_steps))
        images = [gradient_rates.quadratic_image(reward, each) if sampler in OWN_STEP else 0.0 for each in errors]
        columns |= {f"error_{sampler}": np.ptp(errors, axis=1), f"quadratic_{sampler}": np.asarray(images)}
        columns |= {f"rate_{sampler}": np.asarray(rate), f"bend_{sampler}": np.asarray(bend)}
    return columns


@partial(jax.jit, static_argnames=("sampler", "num_steps"))
def _paths(env: bl.Environment, sampler: str, step: Array, num_steps: int) -> Array:
    """Implicit rewards (num_steps + 1, A) of gradient descent from pi_ref, by automatic differentiation."""

    def loss(params: Array, outcomes: Array) -> Array:
        ratio = env.beta * (env.log_policy(params) - env.log_reference)
        return jnp.sum(outcomes * bl.losses.dpo(ratio[:, :, None] - ratio[:, None, :]))

    def advance(params: Array, _: None) -> tuple[Array, Array]:
        log_policy = env.log_policy(params)
        law = getattr(bl.samplers, sampler)(env, log_policy)
        outcomes = bl.preferences.outcome_law(env, law)
        # The own step Z/(2 beta^2 A): a self-pair has sigma' = 1/4, so its mass is 4/Z. Mix-P's needs no r*.
        length = 2 / (env.beta**2 * env.num_actions * law[0, 0, 0]) if sampler in OWN_STEP else step
        ratio = env.beta * (log_policy - env.log_reference)
        return params - length * jax.grad(loss)(params, outcomes), ratio[0]

    return jax.lax.scan(advance, env.log_reference[0], None, length=num_steps + 1)[1]
