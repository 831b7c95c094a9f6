"""What training and exact evaluation ask of a task."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jax import Array

from banditlab.llm.policy import Prompts, Responses


@runtime_checkable
class Task(Protocol):
    """A corpus and a reward on responses to numbered prompts, every one of which can be listed; a pytree."""

    @property
    def beta(self) -> Array:
        """() temperature of the KL penalty."""
        ...

    @property
    def num_symbols(self) -> int:
        """V, the vocabulary's size."""
        ...

    @property
    def num_prompts(self) -> int:
        """S."""
        ...

    @property
    def length(self) -> int:
        """T, the most tokens of a response."""
        ...

    @property
    def eos(self) -> int | None:
        """The token that ends a response, itself part of it; None: every response has T tokens."""
        ...

    @property
    def num_responses(self) -> int:
        """A."""
        ...

    @property
    def prompts(self) -> Prompts:
        """The S prompts, in the order of the tables."""
        ...

    @property
    def responses(self) -> Responses:
        """All A responses, in the order of the tables; `listing.all_responses`."""
        ...

    def reward(self, prompt: Array, tokens: Array) -> Array:
        """(B,) of responses (B, T) to prompts (B,), numbered from 0. Tokens after the end do not count."""
        ...

    def sample_corpus(self, key: Array, prompt: Array) -> Responses:
        """One response of the corpus to each of the prompts (B,), numbered from 0."""
        ...

    @property
    def reward_table(self) -> np.ndarray:
        """(S, A)."""
        ...

    @property
    def log_corpus(self) -> np.ndarray:
        """(S, A) log-probability of every response under the corpus."""
        ...

    @property
    def coverage(self) -> float:
        """E_{pi*}[pi*/pi_ref] by its closed form, with the corpus law as the reference."""
        ...

    @property
    def optimum(self) -> float:
        """J(pi*) by its closed form, with the corpus law as the reference."""
        ...


def model_options(task: Task) -> dict[str, Any]:
    """Keyword arguments of an `EnumerableModel` of the task, beside the decoder's configuration."""
    return {"response_length": task.length, "eos": task.eos, "prompts": task.prompts}
