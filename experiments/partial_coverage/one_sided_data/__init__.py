"""Labels that all go one way."""

from experiments.partial_coverage.one_sided_data.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
