"""The tabular bandit as a language model: one prompt token is the context, one response token the action."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.llm import policy
from banditlab.llm.policy import Prompts, Responses


@dataclasses.dataclass(frozen=True)
class LogitTable:
    """pi(a | x) = softmax of row x of `params` (S, A); a `policy.EnumerablePolicy` without a decoder."""

    num_prompts: int
    num_actions: int

    def __post_init__(self) -> None:
        for name in ("num_prompts", "num_actions"):
            object.__setattr__(self, name, int(validation.whole(name, getattr(self, name))))

    def sample(
        self,
        params: Array,
        prompts: Prompts,
        key: Array,
        temperature: Array | float = 1.0,
        *,
        rows: Array | None = None,
    ) -> Responses:
        """One action for every prompt, with the keys a decoder would use for its first token."""
        self._check(params, prompts)
        scaled = params[prompts.tokens[:, 0]] / policy.check_temperature(temperature).astype(params.dtype)
        log_probs = jax.nn.log_softmax(scaled, axis=-1)

        def draw(row: Array, logits: Array) -> Array:
            return jax.random.categorical(jax.random.fold_in(jax.random.fold_in(key, row), 0), logits)

        tokens = jax.vmap(draw)(policy.row_numbers(prompts, rows), log_probs).astype(jnp.int32)[:, None]
        return Responses(tokens, jnp.ones(tokens.shape, bool), jnp.take_along_axis(log_probs, tokens, axis=1))

    def log_prob(self, params: Array, prompts: Prompts, responses: Responses) -> Array:
        """(B,) log pi(action | context)."""
        self._check(params, prompts)
        validation.shape("responses.tokens", responses.tokens, prompts.tokens.shape)
        policy.check_tokens("responses", responses.tokens, self.num_actions)
        return self.log_prob_table(params)[prompts.tokens[:, 0], responses.tokens[:, 0]]

    def log_prob_table(self, params: Array) -> Array:
        """(S, A) log pi."""
        return jax.nn.log_softmax(params, axis=-1)

    def _check(self, params: Array, prompts: Prompts) -> None:
        validation.shape("params", params, (self.num_prompts, self.num_actions))
        validation.shape("prompts.tokens", prompts.tokens, (len(prompts.tokens), 1))
        policy.check_tokens("prompts", prompts.tokens, self.num_prompts)
