"""The largest KL(pi || pi_ref) that a reward of a span reaches, in units of the temperature, and where."""

import numpy as np


def largest_divergence(span: float) -> float:
    """max KL(pi || pi_ref) over all pi ∝ pi_ref e^v with max v - min v <= span and all pi_ref: c - 1 - log c.

    Here c = span/(1 - e^-span). KL = E_ref[w log w]/Z - log Z, w = e^v/min e^v, Z = E_ref w: for given Z the convex w
    log w is largest in mean if w is 1 or e^span only; then KL = c (1 - 1/Z) - log Z, largest at Z = c.
    """
    ratio = span / -np.expm1(-span)
    return float(ratio - 1 - np.log(ratio))


def extremal_mass(span: float) -> float:
    """Reference mass of the action of larger reward for which `largest_divergence` is attained: Z = c there."""
    return float((span / -np.expm1(-span) - 1) / np.expm1(span))
