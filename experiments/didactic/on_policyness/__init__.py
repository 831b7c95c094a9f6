"""How often fresh samples are drawn: at equal reward queries, at equal gradient steps, and at equal compute."""

from experiments.didactic.on_policyness.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
