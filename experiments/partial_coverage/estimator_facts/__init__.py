"""Means and variances of gradient estimators of the KL penalty."""

from experiments.partial_coverage.estimator_facts.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
