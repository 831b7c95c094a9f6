"""Forward against reverse KL: one step, the boundary between the two, the whole way, and small classes."""

from experiments.didactic.kl_directions.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
