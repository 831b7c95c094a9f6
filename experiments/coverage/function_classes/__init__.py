"""Version spaces of a finite class against their exact law, and the noisy 1/n rate."""

from experiments.coverage.function_classes.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
