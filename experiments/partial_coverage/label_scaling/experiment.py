"""Labels under partial coverage: the gap falls like C_F/n, and what n has to be measured in when an action is rare."""

from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from banditlab.claims import Experiment, Instance, Shards, Table, instance_field, statistics
from banditlab.exact.rare_action import rare_limit
from experiments.partial_coverage.label_scaling.checks import check
from experiments.partial_coverage.label_scaling.figure import plot
from experiments.partial_coverage.label_scaling.runs import FIXED, LIFTED, Bandit, given, simulate, two_actions

CLAIM = (
    "Offline the gap is (beta/2) C_F/n, slope -1, once the labels with the rarest action are many, which n above C_F "
    "does not ensure; gap/p is a function of n p at fixed rewards, and rewards that lift it cost n p^(1+beta)."
)
COLUMNS = {
    "*": {
        "regime": "fixed: one reward of the rare action; lifted: the reward that makes pi* even; else an instance",
        "mass": "smallest probability p of an action under pi_ref",
        "price": "label price C_F of pairs from pi_ref at pi* [labels x nats]",
        "remainder": "(rad lam)^2 of Proposition 3, one over the information of the labels: relative error of C_F/n",
        "reward": "reward of the rare action [reward]",
        "margin": "cap of the estimates' norm beyond that of theta*",
        "rate": "labels times p, half the mean number that compare the two actions [labels]",
        "predicted": "gap/p as p goes to 0 at this n p, by summation [reward]",
        "deviation": "standard deviation over data sets of gap/p as p goes to 0, by summation [reward]",
    },
}


@dataclass(frozen=True)
class Config:
    """Two actions, pi_ref = (1 - p, p), phi in {0, 1}: masses p, temperatures, labels.

    Rewards of the rare action: `reward` (fixed), or what makes pi* = (1/2, 1/2) (lifted). Estimates are capped at
    |theta| <= |theta*| + margin, so that data without a loss count. `labels` is n p (fixed) or n/C_F (lifted), and
    `large` the same for the constants; there 2n KL/C_F is chi-squared of one degree of freedom, of deviation sqrt(2),
    and over all masses the seeds of a regime and temperature are so many that eight standard errors are below 5%.
    `rates` are the n p at which the smallest mass is compared with the law at p = 0; its deviation is below its mean.
    `instance` is the environment in place of the one of masses, temperatures and reward; labels are then n/C_F.
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
    instance: Instance | None = instance_field("masses", "betas", "reward", "rates", "tiny", "rate_seeds")


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Curves and constants per regime, beta and p; the comparison with the law at p = 0; the law. The first two alone
    of another instance."""
    if config.instance is not None:
        bandits = [given(config, config.instance)]
    else:
        bandits = [two_actions(config, *cell) for cell in product((FIXED, LIFTED), config.betas, config.masses)]
    shards.expect(2 if config.instance else 3)
    tables = {}
    amounts = (("curve", config.labels, config.num_seeds), ("constant", (config.large,), config.large_seeds))
    for place, (arm, labels, seeds) in enumerate(amounts):
        tables[f"{arm}s"] = Table.from_rows(
            {"regime": own.regime, "beta": own.beta, "mass": own.mass, "labels": count}
            | {"price": own.price, "remainder": own.remainder(count), **gap}
            for own, count, gap in _gaps(config, shards, arm, list(product(bandits, labels)), seeds, place)
        )
    return tables if config.instance else tables | _rare(config, shards)


def _rare(config: Config, shards: Shards) -> dict[str, Table]:
    """The smallest mass and the law at p = 0."""

    def law(beta: float, rate: float) -> dict[str, float]:
        mean, deviation = rare_limit(rate, beta, config.reward, config.margin)
        return {"reward": config.reward, "margin": config.margin, "predicted": mean, "deviation": deviation}

    settings = [(two_actions(config, FIXED, beta, config.tiny), rate) for beta in config.betas for rate in config.rates]
    limits = [
        {"beta": own.beta, "mass": own.mass, "labels": labels} | law(own.beta, labels * own.mass) | gap
        for own, labels, gap in _gaps(config, shards, "limit", settings, config.rate_seeds, 2)
    ]
    rates = np.geomspace(config.labels[0], 300.0, 24)  # beyond, the slope is -1
    laws = [{"beta": beta, "rate": rate} | law(beta, rate) for beta in config.betas for rate in rates]
    return {"limits": Table.from_rows(limits), "law": Table.from_rows(laws)}


def _gaps(
    config: Config, shards: Shards, arm: str, settings: list, seeds: int, place: int
) -> list[tuple[Bandit, float, dict[str, float]]]:
    """(bandit, labels, {"seeds", "gap", "gap_se"}) of every (bandit, amount)."""
    data = shards.get(arm, (0, seeds), partial(simulate, config, settings, seeds, place))
    return [
        (bandit, float(labels), {"seeds": seeds} | statistics.mean("gap", gaps))
        for (bandit, _), labels, gaps in zip(settings, data["labels"], data["gap"], strict=True)
    ]


PRESETS = {
    "smoke": Config(
        masses=(1e-1, 1e-3), betas=(1.0,), labels=(0.1, 1e3), num_seeds=128, large_seeds=128, rates=(3.0,),
        rate_seeds=128,
    ),
    "default": Config(),
    "paper": Config(num_seeds=10240, large_seeds=174080, rate_seeds=327680),
}  # fmt: skip
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
