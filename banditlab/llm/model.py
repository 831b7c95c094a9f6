"""The decoder as a policy: lengths and tokens are checked here, once, before anything is compiled."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.llm import decoder, generation, listing, policy, tree
from banditlab.llm.config import DecoderConfig
from banditlab.llm.policy import Prompts, Responses


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """A decoder that answers a prompt with at most `response_length` tokens; a `policy.Policy`.

    Attributes:
        config: of the decoder.
        response_length: T.
        eos: the token that ends a response, itself part of it; None: every response has T tokens.
    """

    config: DecoderConfig = dataclasses.field(metadata={"static": True})
    response_length: int = dataclasses.field(metadata={"static": True})
    eos: int | None = dataclasses.field(default=None, kw_only=True, metadata={"static": True})

    def __post_init__(self) -> None:
        length = int(validation.whole("response_length", self.response_length))
        object.__setattr__(self, "response_length", length)
        self.config.check_length(1, length)
        if self.eos is not None and validation.index("eos", self.eos) >= self.config.vocabulary_size:
            raise ValueError(f"eos must be below vocabulary_size = {self.config.vocabulary_size}; got {self.eos}")

    def init(self, key: Array) -> decoder.Params:
        """Random parameters."""
        return decoder.init(key, self.config)

    def sample(
        self,
        params: decoder.Params,
        prompts: Prompts,
        key: Array,
        temperature: Array | float = 1.0,
        *,
        rows: Array | None = None,
    ) -> Responses:
        """One response to every prompt; `policy.Policy.sample`.

        Raises:
            ValueError: for prompts that do not fit the context or the vocabulary, a temperature that is not
                positive, or `rows` not (B,).
        """
        check_prompts(self.config, prompts, self.response_length)
        return generation.generate(
            self.config,
            params,
            prompts,
            key,
            policy.check_temperature(temperature),
            policy.row_numbers(prompts, rows),
            response_length=self.response_length,
            eos=self.eos,
        )

    def log_prob(self, params: decoder.Params, prompts: Prompts, responses: Responses) -> Array:
        """(B,) log pi(response | prompt), in one differentiable pass.

        Raises:
            ValueError: for prompts or responses that do not fit the context or the vocabulary.
        """
        check_prompts(self.config, prompts, responses.tokens.shape[1])
        policy.check_tokens("responses", responses.tokens, self.config.vocabulary_size)
        validation.shape("responses.mask", responses.mask, responses.tokens.shape)
        if responses.tokens.shape[0] != prompts.tokens.shape[0]:
            raise ValueError(
                f"responses must be as many as prompts, {prompts.tokens.shape[0]}; got {responses.tokens.shape[0]}"
            )
        return jnp.sum(generation.token_log_probs(self.config, params, prompts, responses), axis=1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EnumerableModel(LanguageModel):
    """A language model on a task whose every response can be listed; a `policy.EnumerablePolicy`.

    Attributes:
        prompts: all prompts of the task, in the table's order.
    """

    prompts: Prompts = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        listing.num_responses(self.config.vocabulary_size, self.response_length, self.eos)

    def log_prob_table(self, params: decoder.Params) -> Array:
        """(num_prompts, num_responses) log pi, in the order of `listing.all_responses`; `tree.log_prob_table`."""
        check_prompts(self.config, self.prompts, self.response_length)
        return tree.log_prob_table(
            self.config, params, self.prompts, response_length=self.response_length, eos=self.eos
        )


def check_prompts(config: DecoderConfig, prompts: Prompts, response_length: int) -> None:
    """ValueError for prompts that are not left-padded tokens of the vocabulary, or too long with their response."""
    policy.check_tokens("prompts", prompts.tokens, config.vocabulary_size)
    validation.shape("prompts.mask", prompts.mask, prompts.tokens.shape)
    config.check_length(prompts.tokens.shape[1], response_length)
    if validation.is_concrete(prompts):
        mask = np.asarray(prompts.mask)
        if not mask[:, -1].all() or (mask[:, :-1] & ~mask[:, 1:]).any():
            raise ValueError("prompts must be padded on the left, with one token at least; see policy.pad_prompts")
