"""Every response of a small task, listed once each, in the one order that all tables have."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from banditlab.llm.policy import Prompts, Responses, responses

# Above this many responses a task is sampled, not listed.
MAX_RESPONSES = 2**20


def num_responses(num_symbols: int, length: int, eos: int | None = None) -> int:
    """V^T, or with an end token sum_{l <= T} (V - 1)^l: l symbols and the end, or T symbols without one.

    Raises:
        ValueError: for more than 2^20 of them.
    """
    content = num_symbols - (eos is not None)
    if length * math.log(max(content, 1)) <= math.log(MAX_RESPONSES) + 1e-9:
        counts = [content**size for size in range(0 if eos is not None else length, length + 1)]
        if sum(counts) <= MAX_RESPONSES:
            return sum(counts)
    raise ValueError(
        f"vocabulary_size^response_length must be at most {MAX_RESPONSES} to be enumerated; got {num_symbols}^{length}"
    )


def content_symbols(num_symbols: int, eos: int | None) -> np.ndarray:
    """The symbols that do not end a response, int32, in order."""
    symbols = np.arange(num_symbols, dtype=np.int32)
    return symbols if eos is None else symbols[symbols != eos]


def all_responses(num_symbols: int, length: int, eos: int | None = None) -> Responses:
    """Every response of at most `length` tokens: the short ones first, those of one length in lexicographic order."""
    num_responses(num_symbols, length, eos)
    symbols = content_symbols(num_symbols, eos)
    tokens, masks = [], []
    for size in range(0 if eos is not None else length, length + 1):
        content = symbols[digits(len(symbols) ** size, len(symbols), size)]
        padded = np.zeros((len(content), length), np.int32)
        padded[:, :size] = content
        if eos is not None and size < length:
            padded[:, size] = eos
        tokens.append(padded)
        masks.append(np.broadcast_to(np.arange(length) <= size, padded.shape))
    return responses(jnp.asarray(np.concatenate(tokens)), jnp.asarray(np.concatenate(masks)))


def numbered_prompts(count: int, num_symbols: int) -> Prompts:
    """The numbers 0 .. count - 1 in base `num_symbols`, so that prompts and responses share one vocabulary.

    Raises:
        ValueError: if num_symbols is below 2, which numbers one prompt at most.
    """
    if num_symbols < 2 and count > 1:
        raise ValueError(f"num_symbols must be at least 2 to number {count} prompts; got {num_symbols}")
    width = 1
    while num_symbols**width < count:
        width += 1
    tokens = digits(count, num_symbols, width)
    return Prompts(jnp.asarray(tokens), jnp.ones(tokens.shape, bool))


def digits(count: int, base: int, length: int) -> np.ndarray:
    """(count, length) int32: the numbers 0 .. count - 1 in base `base`, the first digit the slowest."""
    powers = base ** np.arange(length - 1, -1, -1)
    return (np.arange(count)[:, None] // powers % base).astype(np.int32)
