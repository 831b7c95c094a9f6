"""A simulated law on the two-action chain beside the exact one."""

import math

import numpy as np

from banditlab import exact_chain
from banditlab.claims import statistics
from banditlab.exact_chain import ChainLaw

# A simulated theta this far from every value that the exact law allows is not rounding: Newton's method leaves
# less than 1e-9, and neighbouring values of up to 300 labels lie 1e-5 apart or more.
LATTICE_TOLERANCE = 1e-7


def exact_laws(sampler: str, num_pairs: int, num_rounds: int, **chain: float) -> list[ChainLaw]:
    """The law of theta after each round; `chain` holds what `exact_chain.on_policy_law` calls so."""
    if sampler == "on_policy":
        laws = exact_chain.on_policy_law(num_pairs, num_rounds, **chain)
        return [ChainLaw(laws.params, probs) for probs in laws.probs]
    return [exact_chain.offline_law(num_pairs * k, **chain) for k in range(1, num_rounds + 1)]


def compared(
    params: np.ndarray, law: ChainLaw, wrong: ChainLaw, *, target: float, max_norm: float
) -> dict[str, float | int]:
    """Columns for simulated params (num_seeds,): KL, mass at the cap, distribution function; beside the law's own.

    `wrong` is the law at a theta* off by 5%: how far the sample is from it says what the distance can tell.
    """
    kl, exact_kl = (exact_chain.kl_target(theta, target) for theta in (params, law.params))
    at_cap, exact_at_cap = (np.abs(np.abs(theta) - max_norm) < LATTICE_TOLERANCE for theta in (params, law.params))
    row: dict[str, float | int] = {"seeds": len(params)}
    for name, values, exact in (("kl", kl, exact_kl), ("absorbed", at_cap.astype(float), exact_at_cap.astype(float))):
        mean = float(exact_chain.mean(law, exact))
        deviation = math.sqrt(exact_chain.mean(law, np.square(exact - mean)))
        row |= statistics.mean(name, values) | {f"{name}_exact": mean, f"{name}_deviation": deviation}
    row |= statistics.quantiles("kl", kl)
    row |= {f"exact_{level}": float(exact_chain.quantile(law, exact_kl, p)) for level, p in statistics.BAND.items()}
    # The Kolmogorov distance of N values of a continuous law has a standard deviation of 0.26/sqrt(N).
    error = 0.26 / math.sqrt(len(params))
    for name, other in (("distance", law), ("wrong_distance", wrong)):
        row |= {name: kolmogorov_distance(other, params), f"{name}_se": error}
    return row | {"num_off_lattice": off_lattice(law, params)}


def kolmogorov_distance(law: ChainLaw, params: np.ndarray) -> float:
    """sup |F_N - F| of simulated params (num_seeds,) against a law.

    Both functions are compared half-way between neighbouring values of the law, where rounding cannot matter.
    """
    order = np.argsort(law.params)
    values, cumulative = law.params[order], np.cumsum(law.probs[order])
    apart = np.flatnonzero(np.diff(values) > 2 * LATTICE_TOLERANCE)  # equal fractions may differ by rounding
    middle = 0.5 * (values[apart] + values[apart + 1])
    empirical = np.searchsorted(np.sort(params), middle) / len(params)
    return float(np.abs(empirical - cumulative[apart]).max(initial=0.0))


def off_lattice(law: ChainLaw, params: np.ndarray) -> int:
    """How many simulated params (num_seeds,) are no value of the law."""
    values = np.sort(law.params)
    nearest = values[np.searchsorted(0.5 * (values[1:] + values[:-1]), params)]
    return int((np.abs(nearest - params) > LATTICE_TOLERANCE).sum())
