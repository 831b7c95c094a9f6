"""The median of a weighted sum of chi-squares: of the KL over labels, in the limit of many labels (I6)."""

import math

import numpy as np
from scipy.optimize import root_scalar


def median(weights: np.ndarray) -> float:
    """Median of sum_i w_i chi^2_1 with positive weights (d,), to 1e-5 of it.

    P(sum <= x) = 1/2 - (1/pi) sum over k of sin(angle(u_k))/((k + 1/2) modulus(u_k)), u_k = (k + 1/2) step: the
    trapezoidal rule for the Gil-Pelaez inversion (Imhof's formula), whose only errors are aliasing at 2 pi/step, far in
    the tail, and the end of an oscillating sum.
    """
    scale = float(weights.sum())
    shares = weights / scale
    step, count = 0.05, 200_000
    u = (np.arange(count) + 0.5) * step
    turned = 0.5 * np.arctan(shares * u[:, None]).sum(axis=1)
    damping = np.exp(-0.25 * np.log1p((shares * u[:, None]) ** 2).sum(axis=1)) / (np.arange(count) + 0.5)

    def below_half(x: float) -> float:
        return -float((np.sin(turned - 0.5 * x * u) * damping).sum()) / math.pi

    return scale * root_scalar(below_half, bracket=(1e-3, 3.0), xtol=1e-9).root
