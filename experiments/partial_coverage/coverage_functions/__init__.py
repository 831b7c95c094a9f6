"""Local and global coverage as functions of the radius, and what a bounded reward reaches."""

from experiments.partial_coverage.coverage_functions.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
