"""Gradient flows of the logits down either KL: when a log ratio is half-way, and how curved the divergence is."""

import numpy as np


def half_time(times: np.ndarray, path: np.ndarray, start: np.ndarray, target: np.ndarray) -> float:
    """When log(pi_1/pi_2) of a path (T, A) is half-way from the start's (A,) to the target's.

    A cubic through the four nearest points: its error is of fourth order in their distance.
    """
    ratio = path[:, 0] - path[:, 1]
    goal = (start[0] - start[1] + target[0] - target[1]) / 2
    four = np.argsort(np.abs(ratio - goal))[:4]
    return float(
        sum(times[i] * np.prod([(goal - ratio[j]) / (ratio[i] - ratio[j]) for j in four if j != i]) for i in four)
    )


def curvature(path: np.ndarray, target: np.ndarray, direction: str) -> float:
    """A bound on the norm of the Hessian in the logits along a path (T, A) of log-probabilities.

    Forward the Hessian is the covariance of one draw, whose norm is at most 1/2. Reverse it is sum_i v_i c_i c_i' with
    c_i = e_i - pi and weights v_i = pi_i (1 + log(pi_i/q_i) - KL(pi||q)), which sum to one.
    """
    if direction == "forward":
        return 0.5
    policy, log_ratio = np.exp(path), path - target
    weights = policy * (1 + log_ratio - (policy * log_ratio).sum(1, keepdims=True))
    norm = np.linalg.norm(policy, axis=1)
    return float((np.abs(weights).max(1) + 2 * np.linalg.norm(weights, axis=1) * norm + norm**2).max())
