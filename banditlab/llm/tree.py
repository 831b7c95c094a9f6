"""The exact law of all responses of a fixed length, prefixes shared: one cached decode per level of the tree."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.llm import generation
from banditlab.llm.config import DecoderConfig
from banditlab.llm.decoder import Cache, Params
from banditlab.llm.policy import Prompts

# Above this many responses a task is sampled, not listed.
MAX_RESPONSES = 2**20


def num_responses(config: DecoderConfig, response_length: int) -> int:
    """V^T, refused where a table of it would not fit."""
    if response_length * math.log(config.vocabulary_size) > math.log(MAX_RESPONSES) + 1e-9:
        raise ValueError(
            f"vocabulary_size^response_length must be at most {MAX_RESPONSES} to be enumerated; "
            f"got {config.vocabulary_size}^{response_length}"
        )
    return config.vocabulary_size**response_length


@functools.partial(jax.jit, static_argnames=("config", "response_length"))
def log_prob_table(config: DecoderConfig, params: Params, prompts: Prompts, *, response_length: int) -> Array:
    """(S, V^T) log pi of every response to every prompt, the first token the slowest digit.

    Level t decodes its S V^t prefixes at once, each with its parent's cache: V + .. + V^(T-1) single-token steps a
    prompt instead of V^T passes. Normalised and summed in the bandit's working precision, so that each row is a law
    to its rounding.
    """
    num_symbols, exact = config.vocabulary_size, jnp.result_type(float)
    scores, cache = generation.prefill(config, params, prompts)
    table = jax.nn.log_softmax(scores.astype(exact), axis=-1)
    symbols = jnp.arange(num_symbols, dtype=jnp.int32)
    for step in range(1, response_length):
        prompts = Prompts(*(jnp.repeat(leaf, num_symbols, axis=0) for leaf in prompts))
        cache = Cache(*(jnp.repeat(leaf, num_symbols, axis=1) for leaf in generation.extend(cache, 1)))
        token = jnp.tile(symbols, table.size // num_symbols)
        scores, cache = generation.next_logits(config, params, token, prompts, cache, step)
        conditional = jax.nn.log_softmax(scores.astype(exact), axis=-1)
        table = (table.reshape(-1, 1) + conditional).reshape(table.shape[0], -1)
    return table
