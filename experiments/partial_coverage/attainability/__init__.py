"""Where training ends, in closed form."""

from experiments.partial_coverage.attainability.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
