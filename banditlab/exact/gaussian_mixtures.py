"""A mixture of two Gaussians on equal bins of [-1, 1], and what a single Gaussian can be to it in either KL.

q = w N_1 + (1 - w) N_2 with means -D/2 and D/2, deviations s, discretised like all laws here: masses proportional to
the density at the centres of the bins.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import log_ndtr, log_softmax, logsumexp, rel_entr


def params(mean: float, deviation: float) -> list[float]:
    """Coefficients of x and x^2 in the logits mean x/s^2 - x^2/(2 s^2)."""
    return [mean / deviation**2, -0.5 / deviation**2]


@dataclass(frozen=True)
class Mixture:
    """D, w and s above, and the number of bins A."""

    separation: float
    weight: float
    deviation: float
    num_bins: int = 100

    @cached_property
    def features(self) -> np.ndarray:
        """(A, 2) columns x and x^2 of the bins' centres."""
        x = (np.arange(self.num_bins) + 0.5) * 2 / self.num_bins - 1
        return np.stack([x, x**2], axis=1)

    def gaussians(self, coefficients) -> np.ndarray:
        """(..., A) log-masses of coefficients (..., 2)."""
        return log_softmax(np.asarray(coefficients, float) @ self.features.T, axis=-1)

    @property
    def modes(self) -> list[list[float]]:
        """The coefficients of N_1 and N_2."""
        return [params(side * self.separation / 2, self.deviation) for side in (-1, 1)]

    @cached_property
    def log_masses(self) -> np.ndarray:
        """(A,) log q."""
        shares = np.log([[self.weight], [1 - self.weight]])
        return np.asarray(logsumexp(self.gaussians(self.modes) + shares, axis=0))

    @property
    def mean(self) -> float:
        """E x of the continuous mixture."""
        return (1 - 2 * self.weight) * self.separation / 2

    @property
    def second_moment(self) -> float:
        """E x^2 of the continuous mixture."""
        return self.deviation**2 + self.separation**2 / 4

    @property
    def middle(self) -> np.ndarray:
        """(A,) whether a bin is in the middle third of the way from mode to mode."""
        return np.abs(self.features[:, 0]) < self.separation / 6

    @property
    def middle_mass(self) -> float:
        """Mass of the continuous mixture between the edges of these bins."""
        width = self.middle.sum() / self.num_bins
        return sum(
            share * (np.exp(log_ndtr((width - m) / self.deviation)) - np.exp(log_ndtr((-width - m) / self.deviation)))
            for share, m in ((self.weight, -self.separation / 2), (1 - self.weight, self.separation / 2))
        )

    def side_floor(self, policy: np.ndarray) -> float:
        """kl(pi(x > 0)||q(x > 0)), below which KL(pi||q) of no pi with that mass can be."""
        right = self.features[:, 0] > 0
        inside, mass = float(policy[right].sum()), float(np.exp(self.log_masses)[right].sum())
        return float(rel_entr(inside, mass) + rel_entr(1 - inside, 1 - mass))

    def leak(self, policy: np.ndarray) -> float:
        """E_pi log(1 + w_2 N_2/(w_1 N_1)), at least KL(pi||N_1) for the pi of least KL(pi||q).

        KL(pi||q) = KL(pi||N_1) + log 1/w_1 - leak, which is at most log 1/w_1 for the best, since the class holds N_1.
        """
        first, second = self.gaussians(self.modes)
        return policy @ np.logaddexp(0, np.log((1 - self.weight) / self.weight) + second - first)

    def moments(self, policy: np.ndarray) -> dict[str, float]:
        """Mass between the modes, mean and second moment of a law (A,) on the bins.

        Digits of a mean that is zero are rounding, which is another number on every machine.
        """
        x = self.features[:, 0]
        mean = round(float(policy @ x), 12) + 0.0
        return {"middle": float(policy[self.middle].sum()), "mean": mean, "second_moment": float(policy @ x**2)}

    def predictions(self, seeking: np.ndarray) -> dict[str, float]:
        """What closed forms say of the fits; `seeking` (A,) is the one of least KL(pi||q)."""
        return {
            "middle": self.middle_mass,
            "mean": self.mean,
            "larger_mode": -self.separation / 2,
            "second_moment": self.second_moment,
            "one_mode_kl": -np.log(self.weight),
            # Rounded, for what is left far apart is rounding.
            "side_floor": round(self.side_floor(seeking), 12) + 0.0,
            "leak": self.leak(seeking),
        }

    def least_on_grid(self, direction: str) -> float:
        """The least KL(q||pi), "forward", else KL(pi||q), over a grid of Gaussians pi."""
        means, scales = np.linspace(-1, 1, 81), np.geomspace(self.deviation / 2, 1.5, 40)
        log_policy = self.gaussians([params(mean, scale) for mean in means for scale in scales])
        if direction == "forward":
            return float((np.exp(self.log_masses) * (self.log_masses - log_policy)).sum(-1).min())
        return float((np.exp(log_policy) * (log_policy - self.log_masses)).sum(-1).min())

    def descended(self, start: list[float]) -> np.ndarray:
        """(1, 2) coefficients near which gradient flow down KL(pi||q) ends."""

        def velocity(_: float, coefficients: np.ndarray) -> np.ndarray:
            log_policy = self.gaussians(coefficients)
            policy, log_ratio = np.exp(log_policy), log_policy - self.log_masses
            return -((policy * (log_ratio - policy @ log_ratio)) @ self.features)

        solved = solve_ivp(velocity, (0.0, 1e5), start, method="LSODA", rtol=1e-5, atol=1e-5)
        return solved.y[:, -1:].T
