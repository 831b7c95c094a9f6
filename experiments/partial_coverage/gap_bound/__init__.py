"""The gap identity and the bound sqrt(C eps) on random, adversarial and deterministic bandits."""

from experiments.partial_coverage.gap_bound.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
