"""Predictions on the environment's arrays: prices of labels here, and what single algorithms tend to in the modules.

No algorithm, estimator, sampler or design is imported: a prediction and what it predicts share the environment's arrays
and nothing else.
"""

from banditlab.theory.prices import (
    batch_threshold,
    fisher_information,
    kl_bounds,
    label_price,
    labels_needed,
    leverage,
    offline_lower_bound,
    oscillation,
    predicted_kl,
    predicted_kl_pooled,
    predicted_kl_weighted,
    recursion,
    second_moment,
    smallest_label_variance,
    statistical_radius,
    target_leverage,
)

__all__ = [
    "batch_threshold",
    "fisher_information",
    "kl_bounds",
    "label_price",
    "labels_needed",
    "leverage",
    "offline_lower_bound",
    "oscillation",
    "predicted_kl",
    "predicted_kl_pooled",
    "predicted_kl_weighted",
    "recursion",
    "second_moment",
    "smallest_label_variance",
    "statistical_radius",
    "target_leverage",
]


def __dir__() -> list[str]:
    return __all__
