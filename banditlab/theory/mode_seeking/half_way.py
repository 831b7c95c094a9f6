"""When gradient flow down either KL is half-way, and how curved the divergence is on its way."""

import numpy as np

from banditlab.exact import kl_flows
from banditlab.theory.mode_seeking.steps import Direction, gradient_flow


def half_way(start: np.ndarray, target: np.ndarray, direction: Direction, near: float) -> tuple[float, float]:
    """When log(pi_1/pi_2) is half-way from the start's (A,) to the target's, and a bound on the Hessian's norm.

    Args:
      near: a time within a tenth of it; (inf, 0) where that is inf.
    """
    if not np.isfinite(near):
        return np.inf, 0.0
    times = near * np.r_[0.0, 0.25, 0.5, 0.75, np.linspace(0.9, 1.1, 9)]
    path = gradient_flow(start, target, direction, times)
    return kl_flows.half_time(times, path, start, target), kl_flows.curvature(path, target, direction)
