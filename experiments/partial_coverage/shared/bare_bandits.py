"""Many tabular bandits as one pytree, without features: for what reads tables alone."""

import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl


def bare_environment(
    context_probs: Array, log_reference: Array, reward: Array, beta: Array, log_base: Array | None = None
) -> bl.Environment:
    """Environments of tables (..., S, A), context_probs (..., S) and beta (...); the class has all actions by default.

    Not validated, and without features: neither parameters nor coverage of directions can be asked of them.
    """
    *leading, _, _ = reward.shape
    return bl.Environment(
        features=jnp.zeros((*reward.shape, 1)),
        context_probs=context_probs,
        log_reference=log_reference,
        log_base=jnp.zeros_like(reward) if log_base is None else log_base,
        beta=beta,
        difference_basis=jnp.zeros((*leading, 1, 0)),
        given_reward=reward,
    )


def uneven_weights(rng: np.random.Generator, size: tuple[int, ...], least: float, floor: float) -> np.ndarray:
    """Gamma weights of references, concentrations log-uniform from `least` to 3: nearly deterministic to even."""
    return rng.standard_gamma(np.exp(rng.uniform(np.log(least), np.log(3.0), size))) + floor
