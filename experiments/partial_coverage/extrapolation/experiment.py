"""Linear features carry what is learned on the seen actions to unseen ones: exactly iff the differences span."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.extrapolation.checks import check
from experiments.partial_coverage.extrapolation.figure import plot
from experiments.partial_coverage.extrapolation.laws import (
    ACTIONS,
    ENSEMBLE,
    SAMPLED,
    SPANNED,
    UNSEEN,
    UNSPANNED,
    changes,
    error_constant,
    sweep,
)
from experiments.partial_coverage.extrapolation.runs import ARMS, ensemble, population, sampled

CLAIM = (
    "With linear features DPO and RLHF find every unseen reward iff the seen differences span; the best unseen action "
    "then rises while the preferred seen one falls, iff its r < beta log E_ref e^{r/beta}. Else they find P theta*."
)


@dataclass(frozen=True)
class Config:
    """The unseen action's feature in the sweeps, labels, and an ensemble of random bandits.

    Spanned: phi = 0, 1, u with theta* = target/beta. Unspanned: phi = (0,0), (1,0), length (cos a, sin a) with theta*
    = (1, 1) target/beta. n times the squared error of log pi(unseen) is chi-squared of one degree of freedom in
    the limit: with `large_seeds` eight of its standard errors are below 5%.
    """

    reference: tuple[float, ...] = (0.45, 0.45, 0.1)
    target: float = 1.0
    beta: float = 0.5
    positions: tuple[float, ...] = tuple(np.linspace(-1.0, 4.0, 21).tolist())
    angles: tuple[float, ...] = tuple(np.linspace(-90.0, 90.0, 25).tolist())
    length: float = 1.5
    labels: float = 300
    num_seeds: int = 1024
    position: float = 2.0
    large: float = 1e8
    large_seeds: int = 53248
    steps: int = 2000
    num_actions: int = 7
    num_features: int = 4
    num_bandits: int = 256
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of log pi/pi_ref per sweep, setting, arm and action; errors of sampled labels; errors of the ensemble."""
    shards.expect(4)
    rows, failures = [], {}
    data = shards.get("population", (0, 1), partial(population, config))
    failures["population: fits not converged"] = int((data["status"] != 0).sum())
    settings = [(SPANNED, value) for value in config.positions] + [(UNSPANNED, value) for value in config.angles]
    for place, (kind, setting) in enumerate(settings):
        features, target = sweep(config, kind, setting)
        learned = target * np.array([1.0, 0.0])  # P theta*, P onto the seen axis; theta* itself in the first sweep
        for action, name in enumerate(ACTIONS):
            row = _row(kind, setting, name, np.inf) | {"truth": changes(config, features, target)[action]}
            row |= {"predicted": changes(config, features, learned)[action]}
            rows.append(row | {f"{arm}_median": float(data[arm][place, action]) for arm in ARMS})
    data = shards.get("labels", (0, config.num_seeds), partial(sampled, config, config.labels, config.num_seeds))
    failures["labels: seeds without a maximum of the likelihood"] = int(data["missing"])
    for place, setting in enumerate(config.positions):
        features, target = sweep(config, SPANNED, setting)
        for action, name in enumerate(ACTIONS):
            row = _row(SAMPLED, setting, name, config.labels) | {"truth": changes(config, features, target)[action]}
            row |= statistics.quantiles("dpo", data["dpo"][place, :, action])
            row |= statistics.quantiles("rlhf", data["rlhf"][place, :, action])
            rows.append(row | {"predicted": row["truth"], "seeds": config.num_seeds})
    data = shards.get(
        "many labels", (0, config.large_seeds), partial(sampled, config, config.large, config.large_seeds)
    )
    failures["many labels: seeds without a maximum of the likelihood"] = int(data["missing"])
    features, target = sweep(config, SPANNED, config.position)
    truth = changes(config, features, target)[UNSEEN]
    row = _row(SAMPLED, config.position, "error", config.large) | {"truth": error_constant(config), "predicted": 1.0}
    for arm in ARMS:
        square = config.large * (data[arm][0, :, UNSEEN] - truth) ** 2 / error_constant(config)
        row |= {f"{name}_mean": value for name, value in statistics.mean(arm, square).items() if name == arm}
    rows.append(row | {"seeds": config.large_seeds})
    data = shards.get(ENSEMBLE, (0, config.num_bandits), partial(ensemble, config))
    failures["ensemble: fits not converged"] = int(data["not_converged"])
    for place, count in enumerate(data["seen"]):
        row = _row(ENSEMBLE, float(count), "params", np.inf) | {"truth": float(data["lost"][place].min())}
        row |= {"predicted": float(data["lost"][place].max()), "rlhf_median": float(data["error"][place].max())}
        rows.append(row | {"off": float(data["off"][place].max()), "seeds": config.num_bandits})
    return Table.from_rows(rows, meta={"failures": failures, "beta": config.beta})


def _row(kind: str, setting: float, quantity: str, labels: float) -> dict[str, float | str]:
    numbers = ("truth", "predicted", "off", "seeds", "dpo_mean", "rlhf_mean")
    levels = [f"{arm}_{level}{se}" for arm in ARMS for level in statistics.BAND for se in ("", "_se")]
    return {"kind": kind, "setting": setting, "quantity": quantity, "labels": float(labels)} | dict.fromkeys(
        (*numbers, *levels), 0.0
    )


EXPERIMENT = Experiment(
    name="extrapolation",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(
            positions=(-1.0, 2.0), angles=(-45.0, 45.0), num_seeds=64, large_seeds=128, num_bandits=8, num_actions=6
        ),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=532480, num_bandits=4096),
    },
    run=run,
    check=check,
    plot=plot,
)
