"""Gradient steps per batch of fresh samples: how many, for whom they hurt, and what PPO's clip does about it."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from banditlab.exact import first_step
from experiments.didactic.sample_reuse import runs
from experiments.didactic.sample_reuse.checks import check
from experiments.didactic.sample_reuse.figure import plot
from experiments.didactic.sample_reuse.runs import EACH, FIRST, FIXED, METHODS
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import Cell

CLAIM = (
    "On R1 more gradient steps on every batch of fresh samples pay only at a smaller learning rate: at the best rate "
    "of one step they hurt in the end, PPO with its clip too, though later than REINFORCE; on R2 they matter little."
)


@dataclass(frozen=True)
class Config:
    """Fresh batches of B states and N draws, each for T gradient steps; rates and seeds; runs of a single step.

    The grid of rates was fixed before any run, the orderings checked on trial runs of seed 0; seed 1 was run after
    that.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    reuses: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    num_batches: int = 16
    num_states: int = 8
    num_samples: int = 10
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    ipo_target: float = 10.0
    clip: float = 0.2
    num_seeds: int = 128
    seeds_per_call: int = 128
    tuning_seeds: int = 24
    first_rate: float = 2.0
    first_seeds: int = 65_536
    seed: int = 1


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Ways to tune, methods and T, each on both bandits; a row per algorithm for the law of a single step on R2."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    cells = [
        _cell(config, data, mode, method, reuse)
        for mode in (EACH, FIXED)
        for method in config.methods
        for reuse in config.reuses
    ]
    tables = tuned_training.tables(runs.study(config, "ppo"), config.num_samples, cells)
    # The other mode takes its rates from these.
    tuning = dict(tables["tuning"].where(mode=EACH).columns)
    del tuning["mode"]
    return tables | {"tuning": Table(tuning), "first_step": Table.from_rows(_first_steps(config, data))}


def _cell(config: Config, data: dict[str, np.ndarray], mode: str, method: str, reuse: int) -> Cell:
    ways = (method, reuse), (method, config.reuses[0]), ("reinforce", reuse)
    found, once, rival = (tuned_training.arrays_of(data, runs.name(mode, *way)) for way in ways)
    facts = {"num_steps": reuse * config.num_batches, "clip": runs.clip(config, method)}
    facts["num_queries"] = config.num_batches * config.num_states * config.num_samples
    differences = {"loss": once["reward"] - found["reward"], "over_reinforce": found["reward"] - rival["reward"]}
    return Cell({"mode": mode, "method": method, "reuse": reuse}, facts, found, differences)


def _first_steps(config: Config, data: dict[str, np.ndarray]) -> list[dict]:
    """The mean improvement of a single step, the enumerated one, and the standard error it implies."""
    reward, log_reference = (np.asarray(leaf[1]) for leaf in tuned_training.bandits())
    reference = np.exp(log_reference)
    start = float(reference @ reward)
    pair = first_step.pairwise(reward, reference, config.first_rate)
    best = first_step.best_of_n(reward, reference, config.first_rate, config.num_samples)
    rows = []
    for method, draws, (mean, deviation) in (("reinforce", 2, pair), ("best_of_n", config.num_samples, best)):
        measured = data[f"{FIRST}, {method}: reward"] - start
        row = {"method": method, "bandit": "R2", "num_samples": draws, "learning_rate": config.first_rate}
        row |= {"seeds": len(measured)} | statistics.mean("improvement", measured)
        row |= statistics.quantiles("improvement", measured)
        rows.append(row | {"predicted": mean - start, "predicted_error": deviation / len(measured) ** 0.5})
    return rows


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(
            methods=("reinforce", "ppo_unclipped", "ppo"),
            reuses=(1, 4),
            num_batches=4,
            num_seeds=10,
            seeds_per_call=10,
            tuning_seeds=2,
            first_seeds=256,
        ),
        "default": Config(),
        "paper": Config(num_seeds=1024, seeds_per_call=512, tuning_seeds=96, first_seeds=1_048_576),
    },
    run=run,
    check=check,
    plot=plot,
    columns=tuned_training.described(
        {
            "mode": "whether the rate is tuned at every T, else at one step per batch alone",
            "method": "loss that is trained on",
            "reuse": "T, gradient steps on every batch [steps]",
        },
        {
            "clip": "clip of the ratio, inf for none; PPO alone has that ratio",
            "loss": "E_pi R at the first T less that at this one, same mode, mean over seeds [reward]",
            "over_reinforce": "E_pi R less that of REINFORCE at the same T and mode, mean over seeds [reward]",
        },
    )
    | {
        "first_step": {
            "num_samples": "draws at the only state [draws]",
            "learning_rate": "of Adam, whose first step is taken",
            "improvement": "E_pi R after the step less E_ref R, over seeds [reward]",
            "predicted": "the same by enumeration of the draws [reward]",
            "predicted_error": "standard error of the mean of so many runs, by enumeration [reward]",
        }
    },
)
