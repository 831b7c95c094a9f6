"""The exact law of all responses, prefixes shared: one cached decode per level of the tree."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.llm import generation, listing
from banditlab.llm.config import DecoderConfig
from banditlab.llm.decoder import Cache, Params
from banditlab.llm.policy import Prompts
from banditlab.numerics.compilation import LOOPS, inner


@inner(LOOPS, static=("config", "response_length", "eos"))
def log_prob_table(
    config: DecoderConfig, params: Params, prompts: Prompts, *, response_length: int, eos: int | None = None
) -> Array:
    """(S, A) log pi of every response to every prompt, in the order of `listing.all_responses`.

    Level t decodes the S C^t prefixes that go on, of C symbols that do not end, each with its parent's cache:
    C + .. + C^(T-1) single-token steps a prompt instead of a pass per response. Those that end there are done, and
    have the probability of their prefix times that of the end. Normalised and summed in the bandit's working
    precision, so that each row is a law to its rounding.
    """
    exact = jnp.result_type(float)
    symbols = jnp.asarray(listing.content_symbols(config.vocabulary_size, eos))
    num_prompts = prompts.tokens.shape[0]
    scores, cache = generation.prefill(config, params, prompts)
    prefixes = jnp.zeros((num_prompts, 1), exact)
    ended = []
    for step in range(response_length):
        if step > 0:
            prompts = Prompts(*(jnp.repeat(leaf, symbols.size, axis=0) for leaf in prompts))
            cache = Cache(*(jnp.repeat(leaf, symbols.size, axis=1) for leaf in generation.extend(cache, 1)))
            token = jnp.tile(symbols, prefixes.size // symbols.size)
            scores, cache = generation.next_logits(config, params, token, prompts, cache, step)
        conditional = jax.nn.log_softmax(scores.astype(exact), axis=-1)
        table = prefixes.reshape(-1, 1) + conditional
        if eos is not None:
            ended.append(table[:, eos].reshape(num_prompts, -1))
        prefixes = table[:, symbols].reshape(num_prompts, -1)
    return jnp.concatenate([*ended, prefixes], axis=1)
