"""What every policy over token sequences offers: it draws responses and says their log-probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation


class Prompts(NamedTuple):
    """A batch of prompts, padded on the left, so that every response starts in the same column.

    Attributes:
        tokens: (B, P) int32.
        mask: (B, P) bool, False on padding.
    """

    tokens: Array
    mask: Array

    @property
    def positions(self) -> Array:
        """(B, P) int32, counted from 0 at the first token that is not padding."""
        return jnp.maximum(jnp.cumsum(self.mask, axis=1, dtype=jnp.int32) - 1, 0)


class Responses(NamedTuple):
    """A batch of responses of at most T tokens.

    Attributes:
        tokens: (B, T) int32, zeros after the end.
        mask: (B, T) bool, True up to and including the end-of-sequence token.
        logp: (B, T) log-probability of every token under the law that drew it (temperature included), zeros after
            the end.
    """

    tokens: Array
    mask: Array
    logp: Array


Params = TypeVar("Params")
_Params = TypeVar("_Params", contravariant=True)


@runtime_checkable
class Policy(Protocol[_Params]):
    """A parametric law of responses given prompts; `params` is any pytree."""

    def sample(
        self,
        params: _Params,
        prompts: Prompts,
        key: Array,
        temperature: Array | float = 1.0,
        *,
        rows: Array | None = None,
    ) -> Responses:
        """One response to every prompt.

        Row i draws from the key `fold_in(key, rows[i])`, so a batch may be cut into pieces: each then needs its
        own `rows` (B,) uint32, 0 .. B-1 by default.
        """
        ...

    def log_prob(self, params: _Params, prompts: Prompts, responses: Responses) -> Array:
        """(B,) log pi(response | prompt) at temperature 1."""
        ...


@runtime_checkable
class EnumerablePolicy(Policy[_Params], Protocol):
    """A policy on a task small enough to list: its prompts and all its responses."""

    def log_prob_table(self, params: _Params) -> Array:
        """(num_prompts, num_responses) log pi, exact, in the working precision of the bandit."""
        ...


def pad_prompts(rows: Sequence[Sequence[int]]) -> Prompts:
    """Prompts of any length >= 1 as one batch, padded on the left.

    Raises:
        ValueError: without prompts, or for one that is empty or not of whole numbers from 0.
    """
    if len(rows) == 0:
        raise ValueError("prompts must hold at least one prompt; got none")
    longest = max(len(row) for row in rows)
    tokens, mask = np.zeros((len(rows), longest), np.int32), np.zeros((len(rows), longest), bool)
    for i, row in enumerate(rows):
        if len(row) == 0:
            raise ValueError(f"prompts must have at least one token each; got none in prompt {i}")
        tokens[i, longest - len(row) :] = [validation.index(f"prompt {i}", token) for token in row]
        mask[i, longest - len(row) :] = True
    return Prompts(jnp.asarray(tokens), jnp.asarray(mask))


def responses(tokens: Array, mask: Array | None = None) -> Responses:
    """Given tokens (B, T) as responses, all of them of full length by default; `logp` is zero: nobody drew them."""
    tokens = jnp.asarray(tokens, jnp.int32)
    mask = jnp.ones(tokens.shape, bool) if mask is None else mask
    return Responses(tokens, mask, jnp.zeros(tokens.shape, jnp.float32))


def row_numbers(prompts: Prompts, rows: Array | None) -> Array:
    """(B,) uint32 `rows`, or 0 .. B-1."""
    if rows is None:
        return jnp.arange(prompts.tokens.shape[0], dtype=jnp.uint32)
    validation.shape("rows", rows, prompts.tokens.shape[:1])
    return jnp.asarray(rows, jnp.uint32)


def check_temperature(temperature: Array | float) -> Array:
    """() float32; a concrete one must be positive."""
    if validation.is_concrete(temperature):
        validation.positive("temperature", temperature)
    return jnp.asarray(temperature, jnp.float32)


def check_tokens(name: str, tokens: Array, size: int) -> None:
    """ValueError unless `tokens` is (B, length) of integers below `size`."""
    if tokens.ndim != 2 or 0 in tokens.shape or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ValueError(f"{name} must be (batch, length) of integers; got {tokens.shape} of {tokens.dtype}")
    if validation.is_concrete(tokens):
        values = np.asarray(tokens)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= size:
            raise ValueError(f"{name} must lie in 0..{size - 1}; got values from {low} to {high}")
