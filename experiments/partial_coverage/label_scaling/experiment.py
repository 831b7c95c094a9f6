"""Labels under partial coverage: the gap falls like C_F/n, and what n has to be measured in when an action is rare."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.label_scaling.checks import check
from experiments.partial_coverage.label_scaling.figure import plot
from experiments.partial_coverage.label_scaling.laws import FIXED, LIFTED, label_price, rare_limit, target_params
from experiments.partial_coverage.label_scaling.runs import CONSTANT, CURVE, LAW, LIMIT, simulate

CLAIM = (
    "Offline the gap is (beta/2) C_F/n, slope -1, once the labels with the rarest action are many, which n above C_F "
    "does not ensure; gap/p is a function of n p at fixed rewards, and rewards that lift it cost n p^(1+beta)."
)


@dataclass(frozen=True)
class Config:
    """Two actions, pi_ref = (1 - p, p), phi in {0, 1}: masses p, temperatures, labels.

    Rewards of the rare action: `reward` (fixed), or what makes pi* = (1/2, 1/2) (lifted). Estimates are capped at
    |theta| <= |theta*| + margin, so that data without a loss count. `labels` is n p (fixed) or n/C_F (lifted), and
    `large` the same for the constants; there 2n KL/C_F is chi-squared of one degree of freedom, of deviation sqrt(2),
    and over all masses the seeds of a regime and temperature are so many that eight standard errors are below 5%.
    `rates` are the n p at which the smallest mass is compared with the law at p = 0; its deviation is below its mean.
    """

    masses: tuple[float, ...] = (1e-1, 1e-3, 1e-5)
    betas: tuple[float, ...] = (0.5, 1.0)
    reward: float = 1.0
    margin: float = 1.0
    labels: tuple[float, ...] = (1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3)
    num_seeds: int = 1024
    large: float = 1e5
    large_seeds: int = 17408
    rates: tuple[float, ...] = (0.3, 3.0)
    tiny: float = 1e-9
    rate_seeds: int = 32768
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Curves and constants per regime, beta and p; the comparison with the law at p = 0; the law."""
    cells = [(regime, beta, mass) for regime in (FIXED, LIFTED) for beta in config.betas for mass in config.masses]
    parts = (
        (CURVE, [(*cell, amount) for cell in cells for amount in config.labels], config.num_seeds),
        (CONSTANT, [(*cell, config.large) for cell in cells], config.large_seeds),
        (
            LIMIT,
            [(FIXED, beta, config.tiny, rate) for beta in config.betas for rate in config.rates],
            config.rate_seeds,
        ),
    )
    shards.expect(len(parts))
    rows, failures = [], {}
    for place, (kind, settings, seeds) in enumerate(parts):
        data = shards.get(kind, (0, seeds), partial(simulate, config, settings, seeds, config.seed + place))
        failures[f"{kind}: fits not converged"] = int(data["failed"])
        for setting, labels, gaps in zip(settings, data["labels"], data["gap"], strict=True):
            regime, beta, mass, _ = setting
            row = _row(config, kind, regime, beta, mass, labels) | {"seeds": seeds}
            if kind == LIMIT:
                law = rare_limit(labels * mass, beta, config.reward, config.margin)
                row |= dict(zip(("exact", "deviation"), law, strict=True))
            rows.append(row | statistics.mean("gap", gaps))
    for beta in config.betas:
        for rate in np.geomspace(config.labels[0], 300.0, 24):  # beyond, the slope is -1
            mean, deviation = rare_limit(rate, beta, config.reward, config.margin)
            row = _row(config, LAW, FIXED, beta, 0.0, rate) | {"gap": mean, "gap_se": 0.0, "seeds": 0}
            rows.append(row | {"exact": mean, "deviation": deviation})
    return Table.from_rows(rows, meta={"failures": failures})


def _row(config: Config, kind: str, regime: str, beta: float, mass: float, labels: float) -> dict[str, float | str]:
    """What is known before any label: `labels` is n, or n p in the rows of the law at p = 0."""
    row = {"kind": kind, "regime": regime, "beta": beta, "mass": mass, "labels": float(labels)}
    row |= {"price": 0.0, "remainder": 0.0, "exact": 0.0, "deviation": 0.0}
    if mass > 0:
        target = target_params(regime, mass, beta, config.reward)
        curvature = 0.25 / np.cosh(0.5 * beta * target) ** 2
        # (rad lam)^2 of Proposition 3, in the mean: one over the information of the comparisons.
        row |= {"remainder": float(1 / (2 * labels * mass * (1 - mass) * curvature))}
        row |= {"price": label_price(mass, beta, target)}
    return row


EXPERIMENT = Experiment(
    name="label_scaling",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(
            masses=(1e-1, 1e-3), betas=(1.0,), labels=(0.1, 1e3), num_seeds=128, large_seeds=128, rates=(3.0,),
            rate_seeds=128,
        ),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=174080, rate_seeds=327680),
    },
    run=run,
    check=check,
    plot=plot,
)  # fmt: skip
