"""The language-model adapter: the bandit's losses and metrics on an autoregressive policy over token sequences."""

from banditlab.llm import algorithms, decoder, exact, listing, oracles, preference, pretraining, tasks
from banditlab.llm.config import DecoderConfig
from banditlab.llm.model import EnumerableModel, LanguageModel
from banditlab.llm.one_token import LogitTable
from banditlab.llm.policy import EnumerablePolicy, Policy, Prompts, Responses, pad_prompts, responses

__all__ = [
    "DecoderConfig",
    "EnumerableModel",
    "EnumerablePolicy",
    "LanguageModel",
    "LogitTable",
    "Policy",
    "Prompts",
    "Responses",
    "algorithms",
    "decoder",
    "exact",
    "listing",
    "oracles",
    "pad_prompts",
    "preference",
    "pretraining",
    "responses",
    "tasks",
]


def __dir__() -> list[str]:
    return __all__
