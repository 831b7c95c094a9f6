"""What the change of log pi in a step on the logits has beyond its first order: a bound on its third, and the slope."""

import numpy as np


def third_order(bound: np.ndarray) -> np.ndarray:
    """Bound on the third order of the change, from step^2 range^2/8 of the gradient, the bound on its second.

    |third cumulant| <= range^3/(6 sqrt 3), under the tilted laws too, over 3! and for both terms.
    """
    return 2 / (36 * np.sqrt(3)) * (8 * bound) ** 1.5


def slope(steps: np.ndarray, remainders: np.ndarray, third_orders: np.ndarray) -> tuple[float, float]:
    """Slope of log remainder against log step between two steps, and how far third orders move it from 2 at most."""
    found = np.diff(np.log(remainders))[0] / np.diff(np.log(steps))[0]
    moved = -np.log1p(-third_orders / remainders).sum() / np.abs(np.log(steps[1] / steps[0]))
    return float(found), float(moved)
