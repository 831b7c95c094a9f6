"""Labels under partial coverage."""

from experiments.partial_coverage.label_scaling.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
