"""Which samplers make DPO converge linearly and which quadratically, with exact gradients."""

from experiments.coverage.exact_gradient_dynamics.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
