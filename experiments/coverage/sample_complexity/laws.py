"""Labels times the median KL of every arm, in the limit of many labels."""

import math

import jax.numpy as jnp
import numpy as np
from scipy.optimize import root_scalar

import banditlab as bl
from banditlab import coverage, linalg
from experiments.coverage.sample_complexity import runs


def limit(arm: str, env: bl.Environment, design: "bl.designs.Design") -> float:
    """Labels times median KL as eps -> 0 (I6): every round but the first then samples from pi*."""
    pooled, rounds = runs.ARMS[arm]
    first, later = (
        np.asarray(bl.theory.fisher_information(env, runs.law(arm, design, env, log_policy)))
        for log_policy in (env.log_initial, env.log_target)
    )
    # Information per label bought; fresh batches use the last round's alone.
    per_label = (first + (rounds - 1) * later) / rounds if pooled else (first if rounds == 1 else later) / rounds
    return limit_median(env, per_label)


def limit_median(env: bl.Environment, information: np.ndarray) -> float:
    """Median of (1/2) g'V*g, g ~ N(0, information^{-1}) (I6): the median KL times the labels, in the limit.

    A weighted sum of chi-squares.
    """
    rows, _ = linalg.inverse_root(jnp.asarray(information))
    whitened = np.asarray(rows @ coverage.target_covariance(env) @ rows.T)
    return median_of_chi_squares(0.5 * np.linalg.eigvalsh(whitened))


def median_of_chi_squares(weights: np.ndarray) -> float:
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
