"""Gradient steps per batch of fresh samples: how many, for whom they hurt, and what PPO's clip does about it."""

from experiments.didactic.sample_reuse.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
