"""How far a policy can be from its prediction where training ends: bounds from the gradient or the excess left there.

Of first order in what is left, with a factor of two for the change of the curvature on the way.
"""

import numpy as np


def of_descent(norm: np.ndarray | float, curvature: np.ndarray | float) -> np.ndarray:
    """On log pi, for gradients of this norm and the least curvature of the loss in the logits: 4 |g|/lambda.

    Gradient over curvature, twice for its change on the way, and twice for log pi, which moves by twice the logits.
    """
    return np.asarray(4 * norm / curvature)


def of_penalised_descent(
    norm: np.ndarray, penalty: float, log_policy: np.ndarray, log_reference: np.ndarray
) -> np.ndarray:
    """(N,) on log pi(u)/pi_ref(u) = KL of actions u without labels, for norms (N,) and tables (N, A), with rounding.

    The gradient of such an action is lambda pi(u) [log pi(u)/pi_ref(u) - KL(pi||pi_ref)], lambda the penalty.
    """
    rounding = 2.0**-50 * np.abs(log_policy - log_reference).max()
    return np.asarray((norm / penalty + rounding) / np.exp(log_policy).min(axis=1))


def of_barrier(excess: float, curvature: float, beta: float) -> float:
    """On log pi, pi prop. to pi_ref e^{r/beta}, for a fitted r whose loss is within `excess` of the least.

    l |dr|^2/2 <= excess, l the least curvature in r; twice for pi, twice for the centre, which follows an average of r.
    """
    return float(4 * np.sqrt(2 * excess / curvature) / beta)


def gap_slope(log_policy: np.ndarray, log_target: np.ndarray, beta: float) -> float:
    """|d gap| over |d log pi|, at most: beta (|log pi/pi*| + 1), and half as much again for the second order."""
    return float(1.5 * beta * (np.abs(log_policy - log_target).max() + 1))
