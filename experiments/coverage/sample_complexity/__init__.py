"""Total labels to reach a target KL, against initial coverage and the target."""

from experiments.coverage.sample_complexity.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
