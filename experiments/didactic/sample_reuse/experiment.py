"""Gradient steps per batch of fresh samples: how many, for whom they hurt, and what PPO's clip does about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.didactic.sample_reuse import runs
from experiments.didactic.sample_reuse.checks import check
from experiments.didactic.sample_reuse.figure import plot
from experiments.didactic.sample_reuse.runs import EACH, FIRST, FIXED, METHODS
from experiments.didactic.shared import first_step, tuned_training
from experiments.didactic.shared.tuned_training import PEAKS

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


def run(config: Config, shards: Shards) -> Table:
    """A row per way to tune, method, T and bandit; then one per algorithm for the law of a single step on R2."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    rows = []
    for mode in (EACH, FIXED):
        for method in config.methods:
            for reuse in config.reuses:
                rows += _rows(config, data, mode, method, reuse)
    rows += [_first_row(config, data, method, rows[0]) for method in ("reinforce", "best_of_n")]
    table = Table.from_rows(rows)
    counts = {"runs with a step that was not finite": int(table["failed"].sum())}
    counts["best learning rate at an end of the grid"] = int(table.where(mode=EACH)["rate_at_edge"].sum())
    return Table(table.columns, {"failures": counts})


def _rows(config: Config, data: dict[str, np.ndarray], mode: str, method: str, reuse: int) -> list[dict]:
    found = tuned_training.arrays_of(data, runs.name(mode, method, reuse))
    once = tuned_training.arrays_of(data, runs.name(mode, method, config.reuses[0]))
    rival = tuned_training.arrays_of(data, runs.name(mode, "reinforce", reuse))
    rows = []
    for place, bandit in enumerate(PEAKS):
        row = {"mode": mode, "method": method, "reuse": reuse, "bandit": bandit}
        row |= {"num_steps": reuse * config.num_batches, "clip": runs.clip(config, method)}
        row |= {"num_queries": config.num_batches * config.num_states * config.num_samples}
        row |= tuned_training.columns(runs.study(config, method), found, place)
        row |= statistics.mean("loss", once["reward"][place] - found["reward"][place])
        row |= statistics.mean("over_reinforce", found["reward"][place] - rival["reward"][place])
        rows.append(row | {"predicted": 0.0, "error": 0.0})
    return rows


def _first_row(config: Config, data: dict[str, np.ndarray], method: str, like: Mapping) -> dict:
    """The mean improvement of a single step, the enumerated one, and the standard error it implies."""
    reward, log_reference = (np.asarray(leaf[1]) for leaf in tuned_training.bandits())
    reference = np.exp(log_reference)
    law = (
        first_step.pairwise(reward, reference, config.first_rate)
        if method == "reinforce"
        else first_step.best_of_n(reward, reference, config.first_rate, 10)
    )
    measured = data[f"{FIRST}, {method}: reward"] - float(reference @ reward)
    row = {name: "" if isinstance(value, str) else 0 * value for name, value in like.items()}
    row |= {"mode": FIRST, "method": method, "reuse": 1, "bandit": "R2", "num_steps": 1, "seeds": len(measured)}
    row |= tuned_training.exact_columns(1) | {"rate": config.first_rate}
    row |= statistics.mean("reward", measured) | statistics.quantiles("reward", measured)
    return row | {"predicted": law[0] - float(reference @ reward), "error": law[1] / len(measured) ** 0.5}


EXPERIMENT = Experiment(
    name="sample_reuse",
    claim=CLAIM,
    family="didactic",
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
)
