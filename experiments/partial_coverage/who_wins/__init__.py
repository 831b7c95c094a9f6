"""Who wins on an action without labels."""

from experiments.partial_coverage.who_wins.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
