"""Algorithms: sampler x labeller x loss x estimator behind init, step (one ROUND of labels) and log_policy."""

from banditlab.algorithms.base import Algorithm, RoundInfo
from banditlab.algorithms.distillation import reward_distillation
from banditlab.algorithms.hypo import gradient_dpo, hypo
from banditlab.algorithms.offline import chi_po, ipo
from banditlab.algorithms.preference import dpo, hybrid_dpo, offline_dpo, on_policy_dpo, uniform_dpo
from banditlab.algorithms.rlhf import rlhf

__all__ = [
    "Algorithm",
    "RoundInfo",
    "chi_po",
    "dpo",
    "gradient_dpo",
    "hybrid_dpo",
    "hypo",
    "ipo",
    "offline_dpo",
    "on_policy_dpo",
    "reward_distillation",
    "rlhf",
    "uniform_dpo",
]


def __dir__() -> list[str]:
    return __all__
