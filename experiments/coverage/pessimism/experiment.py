"""The Zhu-Jordan-Jiao instance: greedy maximum likelihood, pessimism relative to three policies, and chi-PO."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from banditlab.exact import zhu_jordan_jiao as laws
from experiments.coverage.pessimism import checks, figure, runs
from experiments.coverage.pessimism.runs import COMPARISONS, GREEDY, arms, chi_po_arm, width

CLAIM = (
    "On the Zhu-Jordan-Jiao instance the greedy policy's expected gap tends to sigma(-1), not to 0; wide enough "
    "pessimism sends it to 0 if measured from an action that the data compare with the best one, and not otherwise."
)


@dataclass(frozen=True)
class Config:
    """Labels simulated, and labels of the exact curves; the estimators' settings. The instance fixes beta = 1.

    max_norm, the cap R of the likelihood fit, exceeds ||theta*|| = 1.005. With width >= R sqrt(2 (1 + ridge)) the bound
    of a_1 measured from a_3 is at most R sqrt 2 - width/sqrt(1 + ridge) <= 0, and of a_2 at most R - width/sqrt(1 +
    ridge) < 0: neither is ever played. `narrow` is below R sqrt(1 + ridge), where a_1 stays playable for ever. The
    greedy gap has relative deviation 1.65 at most: eight standard errors are below 5% with so many seeds.
    """

    labels: tuple[int, ...] = (10, 100, 1000, 2000, 10**6)
    curve: tuple[int, ...] = tuple(2 * round(10 ** (k / 5) / 2) for k in range(4, 31))
    num_seeds: int = 73_728
    max_norm: float = 2.0
    width: float = 4.0
    narrow: float = 2.0
    ridge: float = 1.0
    temperature: float = 0.5
    other_temperatures: tuple[float, ...] = (0.05, 0.1, 0.2, 1.0, 2.0)
    seed: int = 0

    def __post_init__(self) -> None:
        edge = self.max_norm * (1 + self.ridge) ** 0.5
        if not self.narrow < edge <= self.width / 2**0.5 * (1 + 1e-12):
            got = f"narrow = {self.narrow}, width = {self.width}"
            raise ValueError(f"narrow must be below {edge:.4g}, width at least {2**0.5 * edge:.4g}; got {got}")


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """One row per arm and number of labels simulated; the exact curves; their limits."""
    shards.expect(len(config.labels))
    rows = []
    for num_labels in config.labels:
        data = shards.get(f"n={num_labels}", (0, config.num_seeds), partial(runs.simulate, config, num_labels))
        gaps = exact_gaps(config, num_labels)
        for arm in arms(config):
            row = {"arm": arm, "num_labels": float(num_labels), "seeds": config.num_seeds}
            row |= {"max_norm": config.max_norm, "width": config.width, "ridge": config.ridge}
            row |= {"failed": int(data["not_converged"])}
            row |= statistics.mean("gap", data[arm])
            row |= statistics.mean("unlike_greedy", (np.abs(data[arm] - data[GREEDY]) > 1e-9).astype(float))
            rows.append(row | dict(zip(("exact", "deviation"), gaps[arm], strict=True)))
    curves = [{"num_labels": float(n)} | row for n in config.curve for row in _exact_rows(config, n)]
    parts = {"simulated": rows, "curves": curves, "limits": _exact_rows(config, np.inf)}
    return {part: Table.from_rows(listed) for part, listed in parts.items()}


def _exact_rows(config: Config, num_labels: float) -> list[dict[str, str | float]]:
    found = exact_gaps(config, num_labels).items()
    return [{"arm": arm, "gap": mean, "deviation": deviation} for arm, (mean, deviation) in found]


def exact_gaps(config: Config, num_labels: float) -> dict[str, tuple[float, float]]:
    """Arm -> expected gap and its standard deviation, by summation; in the limit at the other temperatures too."""
    law = laws.outcomes(num_labels, config.max_norm)
    gaps = {GREEDY: laws.greedy_gaps(law)}
    for arm, comparison in COMPARISONS.items():
        gaps[arm] = laws.pessimistic_gaps(law, width(config, arm), config.ridge, comparison)
    others = config.other_temperatures if np.isinf(num_labels) else ()
    for temperature in (config.temperature, *others):
        gaps[chi_po_arm(temperature)] = laws.chi_po_gaps(law, temperature)
    return {arm: laws.mean_and_deviation(law, values) for arm, values in gaps.items()}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(labels=(10, 10**6), curve=(10, 100, 10_000), num_seeds=8192),
        "default": Config(),
        "paper": Config(num_seeds=737_280),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "*": {
            "arm": "greedy; pessimism by what it is measured from (narrow: covered, less width); chi_po b=temperature",
            "gap": "r*(a_4) - E_pi r*, expected over data sets [reward]",
            "deviation": "standard deviation over data sets of that gap, by summation [reward]",
        },
        "simulated": {
            "max_norm": "cap on the norm of the likelihood fit",
            "width": "width of the ellipsoid of every pessimistic arm but the narrow one",
            "ridge": "ridge of the Gram matrix that makes the ellipsoid",
            "failed": "likelihood fits that did not converge at this number of labels [runs]",
            "unlike_greedy": "share of data sets on which the arm's gap differs from the greedy policy's",
            "exact": "predicted gap, by summation over all outcomes of the labels [reward]",
        },
    },
)
