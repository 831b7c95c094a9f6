"""Columns of a share of seeds whose probability is known."""

import math


def beside(name: str, probability: float, share: float, seeds: int) -> dict[str, float]:
    """The exact probability, and the share with the standard error that this gives."""
    error = math.sqrt(max(probability * (1 - probability), 0.0) / seeds)
    return {f"{name}_exact": float(probability), name: float(share), f"{name}_se": error}
