"""Responses token by token with a static cache of keys and values, and their log-probability in one pass."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.llm import attention, decoder
from banditlab.llm.config import DecoderConfig
from banditlab.llm.decoder import Cache, Params
from banditlab.llm.policy import Prompts, Responses
from banditlab.numerics.compilation import LOOPS, inner


class _Loop(NamedTuple):
    step: Array
    cache: Cache
    token: Array
    done: Array
    responses: Responses


def prefill(config: DecoderConfig, params: Params, prompts: Prompts) -> tuple[Array, Cache]:
    """Logits (B, V) of the first response token, and the cache of the prompts' P columns."""
    allowed = attention.causal(prompts.mask)
    hidden, seen = decoder.hidden_states(config, params, prompts.tokens, prompts.positions, allowed)
    return decoder.logits(config, params, hidden[:, -1]), seen


def extend(cache: Cache, columns: int) -> Cache:
    """The cache with empty columns added behind."""
    return jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, 0), (0, 0), (0, columns), (0, 0), (0, 0))), cache)


def next_logits(
    config: DecoderConfig, params: Params, token: Array, prompts: Prompts, cache: Cache, step: Array | int
) -> tuple[Array, Cache]:
    """Logits (B, V) of response token `step`, given the token (B,) before it and the cache of all before that one.

    The token before step 0 is the prompt's last.
    """
    width = prompts.tokens.shape[1]
    column = width + step - 1
    beyond = jnp.arange(cache.keys.shape[2], dtype=jnp.int32)
    padded = jnp.pad(prompts.mask, ((0, 0), (0, beyond.size - width)), constant_values=True)
    allowed = padded & (beyond <= column)[None]
    position = jnp.sum(prompts.mask, axis=1, dtype=jnp.int32) + step - 1
    hidden, seen = decoder.hidden_states(
        config, params, token[:, None], position[:, None], allowed[:, None], cache, column
    )
    return decoder.logits(config, params, hidden[:, 0]), seen


@inner(LOOPS, static=("config", "response_length", "eos"))
def generate(
    config: DecoderConfig,
    params: Params,
    prompts: Prompts,
    key: Array,
    temperature: Array,
    rows: Array,
    *,
    response_length: int,
    eos: int | None,
) -> Responses:
    """One response to every prompt; stops early once all have ended.

    Args:
        temperature: () positive.
        rows: (B,) uint32; token t of row i is drawn with the key fold_in(fold_in(key, rows[i]), t).
        response_length: T, the most tokens drawn.
        eos: the token that ends a response, itself part of it; None: every response has T tokens.
    """
    batch = prompts.tokens.shape[0]
    steps = jnp.arange(response_length, dtype=jnp.uint32)
    row_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
    keys = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(row_keys, steps)

    def unfinished(loop: _Loop) -> Array:
        return (loop.step < response_length) & ~jnp.all(loop.done)

    def body(loop: _Loop) -> _Loop:
        step, done = loop.step, loop.done
        logits, cache = next_logits(config, params, loop.token, prompts, loop.cache, step)
        log_probs = jax.nn.log_softmax(logits / temperature.astype(logits.dtype), axis=-1)
        token = jax.vmap(jax.random.categorical)(keys[:, step], log_probs).astype(jnp.int32)
        logp = jnp.take_along_axis(log_probs, token[:, None], axis=1)[:, 0]
        responses = Responses(
            loop.responses.tokens.at[:, step].set(jnp.where(done, 0, token)),
            loop.responses.mask.at[:, step].set(~done),
            loop.responses.logp.at[:, step].set(jnp.where(done, 0.0, logp)),
        )
        return _Loop(step + 1, cache, token, done if eos is None else done | (token == eos), responses)

    shape = (batch, response_length)
    empty = Responses(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, bool), jnp.zeros(shape, config.accumulate))
    # The loop's first step decodes the last prompt token; only those before it are filled in beforehand.
    cache = extend(_prompt_cache(config, params, prompts), response_length)
    start = _Loop(jnp.zeros((), jnp.int32), cache, prompts.tokens[:, -1], jnp.zeros(batch, bool), empty)
    return jax.lax.while_loop(unfinished, body, start).responses


def _prompt_cache(config: DecoderConfig, params: Params, prompts: Prompts) -> Cache:
    """The cache of all prompt columns but the last."""
    batch, columns = prompts.tokens.shape[0], prompts.tokens.shape[1] - 1
    if columns == 0:
        empty = jnp.zeros((config.num_layers, batch, 0, config.key_value_heads, config.head), config.compute)
        return Cache(empty, empty)
    before = Prompts(prompts.tokens[:, :-1], prompts.mask[:, :-1])
    return decoder.hidden_states(config, params, before.tokens, before.positions, attention.causal(before.mask))[1]


def token_log_probs(
    config: DecoderConfig, params: Params, prompts: Prompts, responses: Responses, temperature: Array | float = 1.0
) -> Array:
    """(B, T) log-probability of every response token in one pass, zero after the end; differentiable."""
    width = prompts.tokens.shape[1]
    # The last response token predicts nothing that is asked for.
    tokens = jnp.concatenate([prompts.tokens, responses.tokens[:, :-1]], axis=1)
    whole = Prompts(tokens, jnp.concatenate([prompts.mask, responses.mask[:, :-1]], axis=1))
    allowed = attention.causal(whole.mask)
    hidden, _ = decoder.hidden_states(config, params, whole.tokens, whole.positions, allowed)
    scores = decoder.logits(config, params, hidden[:, width - 1 :])
    log_probs = jax.nn.log_softmax(scores / jnp.asarray(temperature, scores.dtype), axis=-1)
    chosen = jnp.take_along_axis(log_probs, responses.tokens[:, :, None], axis=2)[:, :, 0]
    return jnp.where(responses.mask, chosen, 0.0)
