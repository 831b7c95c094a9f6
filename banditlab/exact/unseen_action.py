"""Linear softmax: what is learned of an action without labels, from the features that it shares with two others."""

import numpy as np
from scipy.special import logsumexp


def log_ratios(features: np.ndarray, params: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(A,) log pi_theta/pi_ref = r_a/beta - log E_ref e^{r/beta}, r = beta phi theta, for features (A, d)."""
    logits = features @ params
    return np.asarray(logits - logsumexp(logits, b=reference))


def error_constant(position: float, target: float, beta: float, reference: np.ndarray) -> float:
    """n E(log pi_hat(unseen) - log pi*(unseen))^2 as n -> infinity: (u - E_pi* phi)^2 / H.

    H = 2 beta^2 p q sigma'(r) is the information of a label, p and q the shares of the two seen actions. Features are
    0, 1 and u = `position`; the reward of the second action is `target`; labels compare draws of `reference`, (3,),
    given that they are seen.
    """
    features = np.array([0.0, 1.0, position])
    policy = reference * np.exp(log_ratios(features[:, None], np.array([target / beta]), reference))
    weight = 2 * reference[0] * reference[1] / (reference[0] + reference[1]) ** 2
    information = beta**2 * weight * 0.25 / np.cosh(target / 2) ** 2
    return float((position - policy @ features) ** 2 / information)
