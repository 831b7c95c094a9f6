"""Designs over random instances, and designs solved again at the current estimate."""

from experiments.coverage.design_comparison.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
