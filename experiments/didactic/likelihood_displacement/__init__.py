"""Log-likelihoods of chosen and rejected along offline DPO, IPO and Pref-FT."""

from experiments.didactic.likelihood_displacement.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
