"""Monte-Carlo estimates from sampled responses, against their exact values."""

from experiments.language_model.llm_estimates.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
