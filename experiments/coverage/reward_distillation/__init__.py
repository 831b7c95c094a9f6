"""Reward distillation: exact recovery, its noise floor, and a teacher's error."""

from experiments.coverage.reward_distillation.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
