"""The chi-PO optimum at a known reward, and the linear softmax nearest to it, as roots of one system of equations."""

import numpy as np
from scipy.optimize import root
from scipy.special import wrightomega


def nearest_softmax(
    features: np.ndarray, reward: np.ndarray, reference: np.ndarray, temperature: float, start: np.ndarray
) -> np.ndarray:
    """theta (d,) of the linear softmax nearest to the chi-PO optimum in one context, argmin KL(pi_chi||pi_theta).

    The optimum is reference W(exp((reward - lambda)/temperature)); its normaliser lambda and its mean features give
    1 + d equations.

    Args:
      features: (A, d). reward, reference: (A,), the latter as probabilities.
      start: (d,) where SciPy starts.
    Raises ValueError when SciPy does not find the root.
    """

    def residual(unknown: np.ndarray) -> list[float]:
        ratio = wrightomega((reward - unknown[0]) / temperature)
        weights = reference * np.exp(features @ unknown[1:])
        return [reference @ ratio - 1, *((reference * ratio - weights / weights.sum()) @ features)]

    found = root(residual, np.concatenate([[reward.max() - 2 * temperature], start]), tol=1e-13)
    if np.abs(found.fun).max() > 1e-10:
        got = f"{temperature}: {found.message}"
        raise ValueError(f"temperature must be one at which SciPy finds the optimum; got {got}")
    return found.x[1:]
