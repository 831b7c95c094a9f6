"""The null test: RLHF and DPO on one class."""

from experiments.partial_coverage.null_test.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
