"""The mass that training moves to actions without labels."""

from experiments.partial_coverage.unseen_mass.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
