"""How often fresh samples are drawn: at equal reward queries, at equal gradient steps, and at equal compute."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.didactic.on_policyness import runs
from experiments.didactic.on_policyness.checks import check
from experiments.didactic.on_policyness.figure import plot
from experiments.didactic.on_policyness.runs import BUDGETS
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import PEAKS

CLAIM = (
    "Where the peak is rare (R1) every algorithm gains from drawing afresh more often, and more than where it is "
    "common (R2; but for RWR at equal queries); how much, and whether as often as possible is best, depends on what "
    "is held fixed."
)


@dataclass(frozen=True)
class Config:
    """Collections of fresh samples up to one before every step; batches of B states and N draws; rates and seeds.

    draw_price: what a draw costs, in units of a gradient pass over it.

    The grid of rates (once from 0.01 to 1), the price (once 4) and the orderings checked were settled on trial runs of
    seed 0; seed 1 was run once they were.
    """

    algorithms: tuple[str, ...] = ("best_of_n", "pref_ft", "rwr", "ipo", "reinforce", "ppo")
    collections: tuple[int, ...] = (1, 4, 16, 64)
    draw_price: int = 2
    num_states: int = 8
    num_samples: int = 10
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    ipo_target: float = 10.0
    num_seeds: int = 128
    seeds_per_call: int = 128
    tuning_seeds: int = 24
    seed: int = 1


def run(config: Config, shards: Shards) -> Table:
    """A row per budget, algorithm, number of collections and bandit."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    rows = []
    for budget in BUDGETS:
        for algorithm in config.algorithms:
            for collections in config.collections:
                rows += _rows(config, data, budget, algorithm, collections)
    table = Table.from_rows(rows)
    counts = {"runs with a step that was not finite": int(table["failed"].sum())}
    counts["best learning rate at an end of the grid"] = int(table["rate_at_edge"].sum())
    return Table(table.columns, {"failures": counts})


def _rows(config: Config, data: dict[str, np.ndarray], budget: str, algorithm: str, collections: int) -> list[dict]:
    def arrays(method: str, count: int) -> dict[str, np.ndarray]:
        return tuned_training.arrays_of(data, runs.name(config, method, budget, count))

    found, rival = arrays(algorithm, collections), arrays("best_of_n", collections)
    freshest = arrays(algorithm, max(config.collections))
    plan = runs.schedule(config, budget, collections)
    batches = plan["num_steps"] // plan["reuse"]
    rows = []
    for place, bandit in enumerate(PEAKS):
        row = {"budget": budget, "algorithm": algorithm, "collections": collections, "bandit": bandit}
        row |= {"num_steps": plan["num_steps"], "num_queries": batches * config.num_states * config.num_samples}
        row |= {"num_states": config.num_states, "num_samples": config.num_samples}
        row |= {"cost": config.draw_price * batches + plan["num_steps"]}
        row |= tuned_training.columns(runs.study(config), found, place)
        row |= statistics.mean("gain", freshest["reward"][place] - found["reward"][place])
        row |= statistics.mean("over_best_of_n", found["reward"][place] - rival["reward"][place])
        rows.append(row)
    return rows


EXPERIMENT = Experiment(
    name="on_policyness",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(
            algorithms=("best_of_n", "ppo"), collections=(1, 4), num_seeds=10, seeds_per_call=10, tuning_seeds=2
        ),
        "default": Config(),
        "paper": Config(collections=(1, 2, 4, 8, 16, 32, 64), num_seeds=1024, seeds_per_call=512, tuning_seeds=96),
    },
    run=run,
    check=check,
    plot=plot,
)
