"""Every algorithm's path in the plane of KL to the reference and expected reward, against the exact frontier."""

from experiments.didactic.reward_kl_frontier.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
