"""The best discretised Gaussian for a mixture of two, down either KL, from the starts that matter."""

import numpy as np

from banditlab.exact.gaussian_mixtures import Mixture, params
from banditlab.theory.mode_seeking.fits import Fit, fit
from banditlab.theory.mode_seeking.steps import DIRECTIONS


def fits(mixture: Mixture) -> dict[str, Fit]:
    """The forward and the reverse fit from five starts: either component, the mixture's moments, nothing."""
    # With equal weights the covering start is a saddle's axis of symmetry: one start leaves it.
    aside = params(mixture.mean - 0.05, _spread(mixture))
    starts = [*mixture.modes, _broad(mixture), [0.0, 0.0], aside]
    return {name: fit(mixture.log_masses, mixture.features, name, starts) for name in DIRECTIONS}


def leftmost(found: Fit, mixture: Mixture) -> int:
    """The best fit, of equally good ones (mirror images) the one with the smallest mean."""
    means = np.exp(found.log_policy) @ mixture.features[:, 0]
    return int(np.argmin(np.where(found.divergence <= found.divergence.min() + 1e-9, means, np.inf)))


def descended(mixture: Mixture) -> np.ndarray:
    """(A,) log-masses where gradient flow down KL(pi||q) ends, from the Gaussian with the mixture's moments."""
    # A trust region may jump to another minimum: the flow chooses it, the fit then removes the solver's error.
    end = mixture.descended(_broad(mixture))
    return fit(mixture.log_masses, mixture.features, "reverse", end).log_policy[0]


def _broad(mixture: Mixture) -> list[float]:
    return params(mixture.mean, _spread(mixture))


def _spread(mixture: Mixture) -> float:
    return float(np.sqrt(mixture.second_moment - mixture.mean**2))
