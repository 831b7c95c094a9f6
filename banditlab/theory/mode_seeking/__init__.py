"""Forward and reverse KL: one gradient step on logits, its flow, and the modes that a small class keeps."""

from banditlab.theory.mode_seeking.fits import Fit, fit, members, quadratic_features
from banditlab.theory.mode_seeking.steps import (
    DIRECTIONS,
    Direction,
    StepChange,
    boundary,
    critical_temperature,
    descent_direction,
    gradient_flow,
    log_mass_change,
    log_ratio_change,
    reverse_share,
    two_action_time,
)

__all__ = [
    "DIRECTIONS",
    "Direction",
    "Fit",
    "StepChange",
    "boundary",
    "critical_temperature",
    "descent_direction",
    "fit",
    "gradient_flow",
    "log_mass_change",
    "log_ratio_change",
    "members",
    "quadratic_features",
    "reverse_share",
    "two_action_time",
]


def __dir__() -> list[str]:
    return __all__
