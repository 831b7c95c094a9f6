"""Two actions, phi in {0, 1}, one of mass p under pi_ref: what a label is worth, and the law of the gap as p -> 0."""

import numpy as np
from scipy.stats import binom, poisson


def label_price(mass: float, beta: float, target: float) -> float:
    """C_F = p*(1 - p*) / (2 beta^2 p (1-p) sigma'(beta theta*)), p* the mass of the rare action under pi*."""
    odds, half = mass / (1 - mass) * np.exp(target), 0.5 * beta * target
    return float(odds / (1 + odds) ** 2 * 4 * np.cosh(half) ** 2 / (2 * beta**2 * mass * (1 - mass)))


def rare_limit(rate: float, beta: float, reward: float, margin: float) -> tuple[float, float]:
    """Mean and standard deviation of gap/p as p -> 0 with n p -> `rate`, by summation.

    m ~ Poisson(2 n p) labels compare the two actions, w ~ Binomial(m, sigma(r)) of them for the rare one, theta_hat
    = logit(w/m)/beta, capped, 0 without any; and KL(pi_hat||pi*)/p -> e^t (t - t*) - e^t + e^{t*} at t = theta_hat.
    """
    target = reward / beta
    most = int(poisson.isf(1e-15, 2 * rate)) + 1
    m, w = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    probs = poisson.pmf(m, 2 * rate) * binom.pmf(w, m, 1 / (1 + np.exp(-reward)))
    with np.errstate(divide="ignore", invalid="ignore"):
        logit = np.log(w) - np.log(np.maximum(m - w, 0))
    estimate = np.clip(np.where(m > 0, logit / beta, 0.0), -(target + margin), target + margin)
    estimate, probs = np.where(w <= m, estimate, 0.0), np.where(w <= m, probs, 0.0)
    gap = beta * (np.exp(estimate) * (estimate - target) - np.exp(estimate) + np.exp(target))
    mean = float((probs * gap).sum())
    return mean, float(np.sqrt((probs * (gap - mean) ** 2).sum()))
