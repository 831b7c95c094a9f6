"""What linear features carry from seen actions to unseen ones."""

from experiments.partial_coverage.extrapolation.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
