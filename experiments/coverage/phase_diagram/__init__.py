"""On-policy DPO over batch size and initial coverage."""

from experiments.coverage.phase_diagram.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
