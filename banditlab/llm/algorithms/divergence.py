"""The gradient of KL(pi || pi_ref) from responses of the policy itself: REINFORCE with leave-one-out baselines."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.llm import decoder
from banditlab.llm.model import LanguageModel
from banditlab.llm.policy import Prompts, Responses


class Draws(NamedTuple):
    """k responses to each of B prompts, in B k rows, a prompt's one after the other.

    Attributes:
        prompts, responses: of B k rows.
        log_reference: (B k,) log pi_ref.
    """

    prompts: Prompts
    responses: Responses
    log_reference: Array


def draw(
    model: LanguageModel,
    params: decoder.Params,
    reference: decoder.Params,
    prompts: Prompts,
    key: Array,
    num_samples: int,
) -> Draws:
    """k = `num_samples` responses of the policy to each of the prompts of B rows."""
    repeated = Prompts(*(jnp.repeat(leaf, num_samples, axis=0) for leaf in prompts))
    responses = model.sample(params, repeated, key)
    return Draws(repeated, responses, model.log_prob(reference, repeated, responses))


def surrogate(log_probs: Array, log_reference: Array) -> Array:
    """(B,) 1/(k - 1) sum_i (f_i - mean f) log pi(y_i), f = log pi - log pi_ref held fixed, from (B, k), k >= 2.

    Only its gradient means something: over independent draws of pi its mean is the gradient of KL(pi || pi_ref), as
    k/(k - 1) (f_i - mean f) = f_i - mean_{j != i} f_j, and E_pi grad log pi = 0 where f is differentiated.
    """
    values = jax.lax.stop_gradient(log_probs - log_reference)
    centred = values - jnp.mean(values, axis=1, keepdims=True)
    return jnp.sum(centred * log_probs, axis=1) / (log_probs.shape[1] - 1)


def mean_surrogate(model: LanguageModel, params: decoder.Params, draws: Draws, num_samples: int) -> Array:
    """() mean over the prompts of `surrogate`."""
    log_probs = model.log_prob(params, draws.prompts, draws.responses)
    tables = (values.reshape(-1, num_samples) for values in (log_probs, draws.log_reference))
    return jnp.mean(surrogate(*tables))
