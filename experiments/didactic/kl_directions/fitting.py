"""The best discretised Gaussian for a mixture of two, down either KL, over the separation of the two modes."""

import numpy as np

from banditlab import mode_seeking as ms
from banditlab.exact.gaussian_mixtures import Mixture, params

FORWARD, REVERSE = ms.DIRECTIONS


def fits(mixture: Mixture) -> dict[str, ms.Fit]:
    """The forward and the reverse fit from five starts: either component, the mixture's moments, nothing."""
    spread = np.sqrt(mixture.second_moment - mixture.mean**2)
    # With equal weights the covering start is a saddle's axis of symmetry: one start leaves it.
    starts = [*mixture.modes, params(mixture.mean, spread), [0.0, 0.0], params(mixture.mean - 0.05, spread)]
    return {d: ms.fit(mixture.log_masses, mixture.features, d, starts) for d in ms.DIRECTIONS}


def leftmost(found: ms.Fit, mixture: Mixture) -> int:
    """The best fit, of equally good ones (mirror images) the one with the smallest mean."""
    means = np.exp(found.log_policy) @ mixture.features[:, 0]
    return int(np.argmin(np.where(found.divergence <= found.divergence.min() + 1e-9, means, np.inf)))


def summary(mixture: Mixture) -> dict[str, float]:
    """The numbers of the two fits, of the descent from the mixture's moments, and what closed forms say of them."""
    x, row = mixture.features[:, 0], {}
    for direction, found in fits(mixture).items():
        best = leftmost(found, mixture)
        policy = np.exp(found.log_policy[best])
        row |= {
            f"{direction}_kl": found.divergence[best],
            f"{direction}_grid_kl": mixture.least_on_grid(direction),
            # What is left is rounding, which is another number on every machine.
            f"{direction}_gradient_norm": max(float(found.gradient_norm.max()), 1e-10),
            f"{direction}_middle": policy[mixture.middle].sum(),
            f"{direction}_mean": _mean(policy, x),
            f"{direction}_second_moment": policy @ x**2,
        }
    # A trust region may jump to another minimum: the flow chooses it, the fit then removes the solver's error.
    start = params(mixture.mean, np.sqrt(mixture.second_moment - mixture.mean**2))
    ended = ms.fit(mixture.log_masses, mixture.features, REVERSE, mixture.descended(start)).log_policy[0]
    return row | {
        "middle": mixture.middle_mass,
        "mean": mixture.mean,
        "larger_mode": -mixture.separation / 2,
        "second_moment": mixture.second_moment,
        "one_mode_kl": -np.log(mixture.weight),
        "side_floor": round(mixture.side_floor(policy), 12) + 0.0,
        "leak": mixture.leak(policy),
        "broad_kl": float(np.exp(ended) @ (ended - mixture.log_masses)),
        "broad_mean": _mean(np.exp(ended), x),
    }


def _mean(policy: np.ndarray, x: np.ndarray) -> float:
    """Without the rounding that is another number on every machine."""
    return round(float(policy @ x), 12) + 0.0
