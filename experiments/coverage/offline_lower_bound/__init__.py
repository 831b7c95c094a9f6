"""Proposition 5 under every offline estimator."""

from experiments.coverage.offline_lower_bound.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
