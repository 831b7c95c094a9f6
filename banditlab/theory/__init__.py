"""Predictions on the environment's arrays: prices of labels here, and what single algorithms tend to in the modules.

No algorithm, estimator, sampler or design is imported: a prediction and what it predicts share the environment's arrays
and nothing else.
"""

from typing import TYPE_CHECKING

from banditlab.lazy import attributes as _attributes
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

if TYPE_CHECKING:
    from banditlab.theory import distillation as distillation
    from banditlab.theory import function_classes as function_classes
    from banditlab.theory import gradient_limits as gradient_limits
    from banditlab.theory import guarantees as guarantees
    from banditlab.theory import mode_seeking as mode_seeking
    from banditlab.theory import one_sided as one_sided
    from banditlab.theory import partial_coverage as partial_coverage

__all__ = [
    "batch_threshold",
    "distillation",
    "fisher_information",
    "function_classes",
    "gradient_limits",
    "guarantees",
    "kl_bounds",
    "label_price",
    "labels_needed",
    "leverage",
    "mode_seeking",
    "offline_lower_bound",
    "one_sided",
    "oscillation",
    "partial_coverage",
    "predicted_kl",
    "predicted_kl_pooled",
    "predicted_kl_weighted",
    "recursion",
    "second_moment",
    "smallest_label_variance",
    "statistical_radius",
    "target_leverage",
]

__getattr__, __dir__ = _attributes(
    __name__,
    __all__,
    shown=(
        "distillation",
        "function_classes",
        "gradient_limits",
        "guarantees",
        "mode_seeking",
        "one_sided",
        "partial_coverage",
    ),
)
