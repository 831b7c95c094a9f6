"""Greedy maximum likelihood, pessimism and chi-PO on the Zhu-Jordan-Jiao instance."""

from experiments.coverage.pessimism.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
