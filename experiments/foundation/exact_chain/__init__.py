"""The simulator against exact summation on the two-action chain."""

from experiments.foundation.exact_chain.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
