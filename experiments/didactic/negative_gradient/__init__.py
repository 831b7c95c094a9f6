"""Negative gradients against maximum likelihood on the same draws, over the plane of peaks, and on-policy as well."""

from experiments.didactic.negative_gradient.experiment import EXPERIMENT

__all__ = ["EXPERIMENT"]
