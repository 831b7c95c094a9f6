"""The exact frontier of gap and KL: no policy at a given KL(pi||pi_ref) has a smaller gap J(pi*) - J(pi).

E_pi r <= t KL(pi||pi_ref) + t log E_ref e^{r/t} for every price t > 0, with equality for pi ∝ pi_ref e^{r/t}; the
frontier is the lower envelope over the prices.
"""

import math

import numpy as np

PRICES = np.logspace(-3, 3, 1201)


def least_gap(
    kl: np.ndarray | float, reference: np.ndarray, reward: np.ndarray, beta: float, prices: np.ndarray = PRICES
) -> np.ndarray:
    """The least gap of any policy of one context whose KL(pi||pi_ref) is `kl`, of any shape.

    Args:
        reference, reward: (A,), or any one shape whose reference sums to 1.
        beta: temperature of J.
        prices: the t tried. A finite grid leaves the result a lower bound.
    """

    def log_moment(price: float) -> float:
        largest = reward.max()
        return largest + price * math.log(float((reference * np.exp((reward - largest) / price)).sum()))

    attainable = np.min(np.asarray(kl)[..., None] * prices + [log_moment(price) for price in prices], axis=-1)
    return np.maximum(log_moment(beta) - attainable + beta * np.asarray(kl), 0.0)
