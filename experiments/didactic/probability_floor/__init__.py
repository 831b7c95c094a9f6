"""The floor on probabilities that published code inherits: where it acts, and what it does to training."""

from experiments.didactic.probability_floor.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
