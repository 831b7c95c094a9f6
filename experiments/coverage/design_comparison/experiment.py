"""Triple, joint and conditional designs over random instances, and designs solved again at the current estimate."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from experiments.coverage.design_comparison import checks, ensemble, figure, rounds
from experiments.coverage.design_comparison.ensemble import DESIGNS, LEVERAGE, NAMED, ORACLE_GAP, ORDERED, RIVALS
from experiments.coverage.design_comparison.rounds import ARMS

CLAIM = (
    "The four designs keep their certificates and bounds on every random instance, yet none is always the cheapest in "
    "C_F; weighting by sigma' at the estimate can help and can hurt, solving the oracle's problem there does not hurt."
)
# The law that an arm tends to as the estimate tends to theta*.
LIMITS = {arm: {"design": "triple", "plug_in_oracle": "oracle"}.get(arm, arm) for arm in ARMS}


@dataclass(frozen=True)
class Config:
    """Random instances; labels per round, rounds, seeds and ridge of DPO on the named ones; beta of all of them."""

    num_random: int = 125
    num_pairs: int = 800
    num_rounds: int = 4
    num_seeds: int = 1024
    ridge: float = 0.1
    beta: float = 1.0
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """designs and leverage: over the random instances. rounds: one row per named instance and arm."""
    shards.expect(1 + len(NAMED) * len(ARMS))
    compute = partial(ensemble.measure, config.num_random, config.seed, config.beta)
    solved = shards.get("designs", (0, 1), compute)
    return {
        "designs": Table.from_rows(_design_row(solved, name) for name in DESIGNS),
        "leverage": Table.from_rows(
            {"design": name, "largest": _digits(found.max()), "least": _digits(found.min())}
            for name, found in ((name, solved[f"{name}_leverage"]) for name in LEVERAGE)
        ),
        "rounds": _rounds(config, shards, solved),
    }


def _design_row(solved: dict[str, np.ndarray], name: str) -> dict[str, str | int | float]:
    """Certificates and bounds over all instances; prices over the random ones."""
    ratio, rival = (solved[f"{design}_price"] / solved["oracle_price"] for design in (name, RIVALS[name]))
    drawn = ratio[len(NAMED) :]
    below = [solved[f"{name}_{matrix}"] - solved[f"{other}_{matrix}"] for top, other, matrix in ORDERED if top == name]
    # log det is certified to d gap of its maximum.
    slack = solved["size"] * ensemble.GAP
    uncertified = (solved[f"{name}_gap"] > ensemble.GAP).sum() + (solved["oracle_gap"] > ORACLE_GAP).sum()
    row = {"design": name, "num_instances": drawn.size, "uncertified": int(uncertified)}
    row |= {"disordered": sum(int((difference < -slack).sum()) for difference in below)}
    row |= {"trace": _digits(2 * solved[f"{name}_trace"].max() / solved["size"]), "least_price": _digits(ratio.min())}
    row |= statistics.mean("price_ratio", drawn) | statistics.quantiles("price_ratio", drawn) | {"rival": RIVALS[name]}
    return row | statistics.mean("cheaper", (drawn < rival[len(NAMED) :]).astype(float))


def _digits(value: float) -> float:
    """Without the digits below the gap, which differ from machine to machine."""
    return round(float(value), 6)


def _rounds(config: Config, shards: Shards, solved: dict[str, np.ndarray]) -> Table:
    rows, num_labels = [], config.num_pairs * config.num_rounds
    setting = {name: getattr(config, name) for name in ("beta", "num_pairs", "num_rounds", "num_seeds", "ridge")}
    for place, instance in enumerate(NAMED):
        laws = {name: solved[f"law_{name}"][place] for name in ("triple", "oracle")}
        measured = {}
        for arm in ARMS:
            key = f"{instance}-{arm}"
            data = shards.get(key, (0, config.num_seeds), partial(rounds.simulate, instance, arm, laws, **setting))
            measured[arm] = 2 * num_labels * data["kl"][:, -1]
            row = {"instance": instance, "arm": arm, "price": float(solved[f"{LIMITS[arm]}_price"][place])}
            row |= statistics.mean("measured", measured[arm]) | _relative(measured[arm], measured[ARMS[0]])
            row |= {"labels": num_labels, "num_rounds": config.num_rounds, "ridge": config.ridge}
            failed = sum(shards.failures.get(key, {}).values())
            rows.append(row | {"seeds": config.num_seeds, "failed": failed})
    return Table.from_rows(rows)


def _relative(values: np.ndarray, plain: np.ndarray) -> dict[str, float]:
    """Mean over the plain design's mean on the same seeds, with the standard error of the ratio."""
    ratio = float(values.mean() / plain.mean())
    error = float((values - ratio * plain).std(ddof=1) / plain.mean() / np.sqrt(values.size))
    return {"relative": ratio, "relative_se": error}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_random=13, num_seeds=128),
        "default": Config(),
        "paper": Config(num_random=1250, num_seeds=10240),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "*": {"design": "set that the pairs of largest log det come from, by name"},
        "designs": {
            "num_instances": "random environments; the worst cases beside it look at the named ones too",
            "uncertified": "solutions, the oracle's among them, whose duality gap is above its tolerance",
            "disordered": "times that a design over a smaller set has the larger log det, over instances and such sets",
            "trace": "2 tr(V* M^-1)/d, V* the covariance at pi*, M the pairs' second moment, largest over instances",
            "least_price": "C_F = tr(V* H^-1), H a label's information at pi*, over the oracle's, least over instances",
            "price_ratio": "C_F of the design over the oracle's, mean over random instances",
            "price_ratio_low": "10% quantile over random instances of C_F over the oracle's",
            "price_ratio_median": "median over random instances of C_F over the oracle's",
            "price_ratio_high": "90% quantile over random instances of C_F over the oracle's",
            "rival": "design that it is compared with",
            "cheaper": "share of random instances where the design has a smaller C_F than its rival",
        },
        "leverage": {
            "largest": "max of z'M^-1 z over feature differences z, M the pairs' second moment, over its bound of "
            "Proposition 6, largest over instances",
            "least": "the same max of z'M^-1 z over its bound, least over instances",
        },
        "rounds": {
            "instance": "environment, by name",
            "arm": "where the pairs of every round come from, by name",
            "price": "C_F = tr(V* H^-1) of the law that the arm tends to, V* the covariance and H a label's "
            "information at pi* [labels x nats]",
            "measured": "2 n KL(pi*||pi) after all rounds, n labels in all, mean over seeds [labels x nats]",
            "relative": "mean KL(pi*||pi) over that of the plain design on the same seeds",
            "num_rounds": "rounds that the labels are bought in [rounds]",
            "failed": "fits without a proved maximum, all rounds [fits]",
        },
    },
)
