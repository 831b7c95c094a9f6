"""Infinite-sample versions of the didactic losses: where each one goes, and where it ends, against large samples."""

from experiments.didactic.population_losses.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
