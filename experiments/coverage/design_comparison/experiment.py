"""Triple, joint and conditional designs over random instances, and designs solved again at the current estimate."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.design_comparison import checks, ensemble, figure, rounds
from experiments.coverage.design_comparison.ensemble import (
    DESIGNS,
    ENSEMBLE,
    LEVERAGE,
    NAMED,
    ORACLE_GAP,
    ORDERED,
    RIVALS,
    ROUNDS,
)
from experiments.coverage.design_comparison.rounds import ARMS

CLAIM = (
    "The four designs keep their certificates and bounds on every random instance, yet none is always the cheapest in "
    "C_F; weighting by sigma' at the estimate can help and can hurt, solving the oracle's problem there does not hurt."
)
# The law that an arm tends to as the estimate tends to theta*.
LIMITS = {arm: {"design": "triple", "plug_in_oracle": "oracle"}.get(arm, arm) for arm in ARMS}


@dataclass(frozen=True)
class Config:
    """Random instances; labels per round, rounds, seeds and ridge of DPO on the named ones."""

    num_random: int = 125
    num_pairs: int = 800
    num_rounds: int = 4
    num_seeds: int = 1024
    ridge: float = 0.1
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of two kinds: designs over the random instances, and arms of the rounds on the named ones."""
    shards.expect(1 + len(NAMED) * len(ARMS))
    solved = shards.get("designs", (0, 1), partial(ensemble.measure, config.num_random, config.seed))
    rows, failures = [_design_row(solved, name) for name in DESIGNS], {}
    num_labels = config.num_pairs * config.num_rounds
    settings = {"num_rounds": config.num_rounds, "num_pairs": config.num_pairs, "num_seeds": config.num_seeds}
    for place, instance in enumerate(NAMED):
        laws = {name: solved[f"law_{name}"][place] for name in ("triple", "oracle")}
        measured = {}
        for arm in ARMS:
            compute = partial(rounds.simulate, instance, arm, laws, **settings, ridge=config.ridge)
            data = shards.get(f"{instance}-{arm}", (0, config.num_seeds), compute)
            failed = {name[7:]: int(count) for name, count in data.items() if name.startswith("failed_") and count}
            failures |= {f"{instance} {arm} {name}": count for name, count in failed.items()}
            measured[arm] = 2 * num_labels * data["kl"][:, -1]
            row = EMPTY | {
                "kind": ROUNDS,
                "instance": instance,
                "name": arm,
                "price": float(solved[f"{LIMITS[arm]}_price"][place]),
            }
            row |= statistics.mean("measured", measured[arm]) | _relative(measured[arm], measured[ARMS[0]])
            rows.append(row | {"labels": num_labels, "seeds": config.num_seeds, "failed": sum(failed.values())})
    return Table.from_rows(rows, meta={"failures": failures})


# Columns that only rows of another kind fill.
EMPTY = dict.fromkeys(("uncertified", "disordered", "seeds", "labels", "failed"), 0) | dict.fromkeys(
    ("leverage", "least_leverage", "trace", "least_price", "price"), 0.0
)  # fmt: skip
for _name in ("ratio", "cheaper", "measured", "relative", *(f"ratio_{level}" for level in statistics.BAND)):
    EMPTY |= {_name: 0.0, f"{_name}_se": 0.0}


def _design_row(solved: dict[str, np.ndarray], name: str) -> dict[str, str | int | float]:
    """Certificates and bounds over all instances; prices over the random ones."""
    gap = solved[f"{name}_gap"]
    bounded = solved[f"{name}_leverage"] if name in LEVERAGE else np.zeros(1)
    ratio = solved[f"{name}_price"] / solved["oracle_price"]
    drawn = ratio[len(NAMED) :]
    rival = solved[f"{RIVALS[name]}_price"][len(NAMED) :] / solved["oracle_price"][len(NAMED) :]
    below = [solved[f"{name}_{matrix}"] - solved[f"{other}_{matrix}"] for top, other, matrix in ORDERED if top == name]
    # log det is certified to d gap of its maximum.
    slack = solved["size"] * ensemble.GAP
    row = EMPTY | {"kind": ENSEMBLE, "instance": "random", "name": name, "seeds": drawn.size}
    row |= {"uncertified": int((gap > ensemble.GAP).sum() + (solved["oracle_gap"] > ORACLE_GAP).sum())}
    row |= {"disordered": sum(int((difference < -slack).sum()) for difference in below)}
    row |= {"leverage": _digits(bounded.max()), "least_leverage": _digits(bounded.min())}
    row |= {"trace": _digits(2 * solved[f"{name}_trace"].max() / solved["size"]), "least_price": _digits(ratio.min())}
    row |= statistics.mean("ratio", drawn) | statistics.quantiles("ratio", drawn)
    return row | statistics.mean("cheaper", (drawn < rival).astype(float))


def _digits(value: float) -> float:
    """Without the digits below the gap, which differ from machine to machine."""
    return round(float(value), 6)


def _relative(values: np.ndarray, plain: np.ndarray) -> dict[str, float]:
    """Mean over the plain design's mean on the same seeds, with the standard error of the ratio."""
    ratio = float(values.mean() / plain.mean())
    return {"relative": ratio} | {
        "relative_se": float((values - ratio * plain).std(ddof=1) / plain.mean() / np.sqrt(values.size))
    }


EXPERIMENT = Experiment(
    name="design_comparison",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(num_random=13, num_seeds=128),
        "default": Config(),
        "paper": Config(num_random=1250, num_seeds=10240),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
)
