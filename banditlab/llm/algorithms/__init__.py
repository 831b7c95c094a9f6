"""The bandit's algorithms on a language model, under the same names; a step is a round."""

from banditlab.llm.algorithms.base import Method, State
from banditlab.llm.algorithms.presets import (
    METHODS,
    hybrid_dpo,
    hypo,
    offline_dpo,
    on_policy_dpo,
    reward_distillation,
)
from banditlab.llm.algorithms.rounds import Drawn, draw
from banditlab.llm.algorithms.training import init, step, train, update

__all__ = [
    "METHODS",
    "Drawn",
    "Method",
    "State",
    "draw",
    "hybrid_dpo",
    "hypo",
    "init",
    "offline_dpo",
    "on_policy_dpo",
    "reward_distillation",
    "step",
    "train",
    "update",
]


def __dir__() -> list[str]:
    return __all__
