"""The settings of the two sweeps and the closed forms of what is learned in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    from experiments.partial_coverage.extrapolation.experiment import Config

SPANNED, UNSPANNED = "spanned", "unspanned"
# Actions of the two sweeps: labels compare the first two alone.
ACTIONS = ("loser", "preferred", "unseen")
LOSER, PREFERRED, UNSEEN = range(3)


def sweep(config: Config, kind: str, setting: float) -> tuple[np.ndarray, np.ndarray]:
    """Features (3, 2) and theta* (2,) of a setting."""
    scale = config.target / config.beta
    if kind == SPANNED:  # the second coordinate is idle, so that both sweeps are one program
        return np.array([[0.0, 0.0], [1.0, 0.0], [setting, 0.0]]), np.array([scale, 0.0])
    unseen = config.length * np.array([np.cos(angle := np.deg2rad(setting)), np.sin(angle)])
    return np.array([[0.0, 0.0], [1.0, 0.0], unseen]), np.full(2, scale)


def changes(config: Config, features: np.ndarray, params: np.ndarray) -> np.ndarray:
    """(A,) log pi_theta/pi_ref = r_a/beta - log E_ref e^{r/beta}, r = beta phi theta."""
    logits = features @ params
    return logits - logsumexp(logits, b=np.asarray(config.reference))


def error_constant(config: Config) -> float:
    """n E(log pi_hat(unseen) - log pi*(unseen))^2 as n -> infinity: (u - E_pi* phi)^2 / H.

    H = 2 beta^2 p q sigma'(r) is the information of a label, p and q the shares of the two seen actions.
    """
    features, target = sweep(config, SPANNED, config.position)
    policy = np.asarray(config.reference) * np.exp(changes(config, features, target))
    weight = 2 * config.reference[LOSER] * config.reference[PREFERRED] / seen_mass(config) ** 2
    information = config.beta**2 * weight * 0.25 / np.cosh(config.target / 2) ** 2
    return float((config.position - policy @ features[:, 0]) ** 2 / information)


def seen_mass(config: Config) -> float:
    return config.reference[LOSER] + config.reference[PREFERRED]
