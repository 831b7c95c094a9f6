"""Accurate implicit rewards of bad policies."""

from experiments.partial_coverage.reward_accuracy.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
