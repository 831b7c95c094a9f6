"""How often fresh samples are drawn: at equal reward queries, at equal gradient steps, and at equal compute."""

from dataclasses import dataclass
from functools import partial

from banditlab.claims import Experiment, Shards, Table
from experiments.didactic.on_policyness import runs
from experiments.didactic.on_policyness.checks import check
from experiments.didactic.on_policyness.figure import plot
from experiments.didactic.on_policyness.runs import BUDGETS
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import Cell

CLAIM = (
    "Where the peak is rare (R1) every algorithm gains from drawing afresh more often, and more than where it is "
    "common (R2; but for RWR at equal queries); how much, and whether as often as possible is best, depends on what "
    "is held fixed."
)


@dataclass(frozen=True)
class Config:
    """Collections of fresh samples up to one before every step; batches of B states and N draws; rates and seeds.

    draw_price: what a draw costs, in units of a gradient pass over it. beta: temperature of RWR's weights.

    The grid of rates (once from 0.01 to 1), the price (once 4) and the orderings checked were settled on trial runs of
    seed 0; seed 1 was run once they were.
    """

    algorithms: tuple[str, ...] = ("best_of_n", "pref_ft", "rwr", "ipo", "reinforce", "ppo")
    collections: tuple[int, ...] = (1, 4, 16, 64)
    draw_price: int = 2
    num_states: int = 8
    num_samples: int = 10
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    beta: float = 0.1
    ipo_target: float = 10.0
    num_seeds: int = 128
    seeds_per_call: int = 128
    tuning_seeds: int = 24
    seed: int = 1


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Budgets, algorithms and numbers of collections, each on both bandits."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    cells = [
        _cell(config, data, budget, algorithm, collections)
        for budget in BUDGETS
        for algorithm in config.algorithms
        for collections in config.collections
    ]
    return tuned_training.tables(runs.study(config), config.num_samples, cells)


def _cell(config: Config, data: dict, budget: str, algorithm: str, collections: int) -> Cell:
    ways = (algorithm, collections), ("best_of_n", collections), (algorithm, max(config.collections))
    names = [runs.name(config, method, budget, count) for method, count in ways]
    found, rival, freshest = (tuned_training.arrays_of(data, name) for name in names)
    plan = runs.schedule(config, budget, collections)
    batches = plan["num_steps"] // plan["reuse"]
    facts = {"num_steps": plan["num_steps"], "num_queries": batches * config.num_states * config.num_samples}
    facts |= {"num_states": config.num_states, "num_samples": config.num_samples, "draw_price": config.draw_price}
    facts |= {"cost": config.draw_price * batches + plan["num_steps"]}
    differences = {"gain": freshest["reward"] - found["reward"], "over_best_of_n": found["reward"] - rival["reward"]}
    keys = {"budget": budget, "algorithm": algorithm, "collections": collections}
    return Cell(keys, facts, found, differences)


EXPERIMENT = Experiment(
    claim=CLAIM,
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
    columns=tuned_training.described(
        {
            "budget": "what is held fixed as collections vary",
            "algorithm": "loss that is trained on",
            "collections": "times that the sampling policy is set to the current one, the first included",
        },
        {
            "num_states": "states of a batch [states]",
            "num_samples": "draws at each state of a batch [draws]",
            "draw_price": "cost of drawing a batch [gradient passes over it]",
            "cost": "draw_price times batches plus num_steps [gradient passes over a batch]",
            "gain": "E_pi R with the most collections less that with these, mean over seeds [reward]",
            "over_best_of_n": "E_pi R less that of Best-of-N on the same schedule, mean over seeds [reward]",
        },
    ),
)
