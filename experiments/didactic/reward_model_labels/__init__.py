"""Who labels the pairs: the rewards themselves, Bradley-Terry coins, or a reward model fitted to such coins."""

from experiments.didactic.reward_model_labels.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
