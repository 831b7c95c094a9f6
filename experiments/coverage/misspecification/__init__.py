"""Labels that no reward in the class explains."""

from experiments.coverage.misspecification.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
