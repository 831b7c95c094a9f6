"""How often fresh samples are drawn: at equal reward queries, at equal gradient steps, and at equal compute."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.didactic import policies
from banditlab.didactic.settings import Settings
from banditlab.store import Shards, Table
from experiments.didactic.on_policyness_view import BUDGETS, COMPUTE, QUERIES, STEPS, plot
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import PEAKS, Study, margin
from experiments.framework import statistics
from experiments.framework.checks import Check, interval, lower
from experiments.framework.experiment import Experiment

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


def study(config: Config) -> Study:
    """The runs' shared part."""
    settings = Settings(ipo_target=config.ipo_target)
    sizes = (config.num_seeds, config.seeds_per_call, config.tuning_seeds, config.seed)
    return Study(policies.tabular(), config.rates, settings, *sizes)


def schedule(config: Config, budget: str, collections: int) -> dict[str, int]:
    """Steps in all, steps on each batch, and batches drawn from one policy.

    The most collections, one batch and one step each, are the same runs in every budget. With fewer there are as many
    batches, drawn from older policies (queries); as many steps, more of them on each batch (steps); or as many more
    steps as the draws saved would have cost (compute).
    """
    most = max(config.collections)
    if budget == QUERIES:
        return {"num_steps": most, "reuse": 1, "refresh": most // collections}
    steps = most if budget == STEPS else (1 + config.draw_price) * most - config.draw_price * collections
    return {"num_steps": steps, "reuse": steps // collections, "refresh": 1}


def run(config: Config, shards: Shards) -> Table:
    """A row per budget, algorithm, number of collections and bandit."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config))
    rows = []
    for budget in BUDGETS:
        for algorithm in config.algorithms:
            for collections in config.collections:
                rows += _rows(config, data, budget, algorithm, collections)
    table = Table.from_rows(rows)
    counts = {"runs with a step that was not finite": int(table["failed"].sum())}
    counts["best learning rate at an end of the grid"] = int(table["rate_at_edge"].sum())
    return Table(table.columns, {"failures": counts})


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.tuned` for every cell; cells that share a program follow one another."""
    few, most = [c for c in config.collections if c < max(config.collections)], max(config.collections)
    fresh = [(STEPS, most), *((budget, c) for budget in (STEPS, COMPUTE) for c in few)]
    jobs = {}
    for algorithm in config.algorithms:
        for cells in ([(QUERIES, c) for c in few], fresh):
            jobs[f"{algorithm}, {cells[0][0]}"] = partial(_train, config, algorithm, cells)
    found = tuned_training.side_by_side(jobs)
    return {name.split(": ", 1)[1]: values for name, values in found.items()}


def _train(config: Config, algorithm: str, cells: list[tuple[str, int]]) -> dict[str, np.ndarray]:
    shapes = {"num_states": config.num_states, "num_samples": config.num_samples, "on_policy": True}
    arrays = {}
    for budget, collections in cells:
        options = shapes | schedule(config, budget, collections)
        found = tuned_training.tuned(study(config), algorithm, **options)
        arrays |= {f"{_name(config, algorithm, budget, collections)}: {k}": v for k, v in found.items()}
    return arrays


def _name(config: Config, algorithm: str, budget: str, collections: int) -> str:
    if collections == max(config.collections):
        budget = "any"
    return f"{algorithm}, {budget}, {collections}"


def _rows(config: Config, data: dict[str, np.ndarray], budget: str, algorithm: str, collections: int) -> list[dict]:
    def arrays(method: str, count: int) -> dict[str, np.ndarray]:
        return tuned_training.arrays_of(data, _name(config, method, budget, count))

    found, rival = arrays(algorithm, collections), arrays("best_of_n", collections)
    freshest = arrays(algorithm, max(config.collections))
    plan = schedule(config, budget, collections)
    batches = plan["num_steps"] // plan["reuse"]
    rows = []
    for place, bandit in enumerate(PEAKS):
        row = {"budget": budget, "algorithm": algorithm, "collections": collections, "bandit": bandit}
        row |= {"num_steps": plan["num_steps"], "num_queries": batches * config.num_states * config.num_samples}
        row |= {"num_states": config.num_states, "num_samples": config.num_samples}
        row |= {"cost": config.draw_price * batches + plan["num_steps"]}
        row |= tuned_training.columns(study(config), found, place)
        row |= statistics.mean("gain", freshest["reward"][place] - found["reward"][place])
        row |= statistics.mean("over_best_of_n", found["reward"][place] - rival["reward"][place])
        rows.append(row)
    return rows


def check(table: Table) -> list[Check]:
    """Exact values, the frontier, who gains from fresh samples, where, and at what equal cost."""
    checks = tuned_training.sound_checks(table)
    checks.append(_limit_check(table))
    alone = table.where(collections=table["collections"].min())
    for budget in BUDGETS:
        rows = alone.where(budget=budget, bandit="R1")
        least = margin(rows, "gain").min()
        checks.append(lower(f"R1, {budget}: gain of the freshest samples, least algorithm", 0.0, least, why=_LESS))
    checks += [_rare_check(alone, budget) for budget in (QUERIES, STEPS)]
    rows = alone.where(budget=QUERIES, bandit="R1")
    for name in ("ipo", "rwr"):
        row = rows.where(algorithm=name)
        claim = f"R1, {QUERIES}, all from the reference: {name} over Best-of-N"
        checks.append(lower(claim, 0.0, margin(row, "over_best_of_n")[0], why=_LESS))
    return checks + _disagreements(table)


_LESS = "less four standard errors"


def _limit_check(table: Table) -> Check:
    """One batch, trained to the end: the policy is the law of its bests, whose mean is the best-of-ten's."""
    rows = table.where(algorithm="best_of_n", bandit="R2", collections=table["collections"].min())
    short, long = rows.where(budget=STEPS), rows.where(budget=COMPUTE)
    error = float(short["best_of_ten_sd"][0] / np.sqrt(short["seeds"][0] * short["num_states"][0]))
    claim = "R2, one batch from the reference: Best-of-N reaches the mean of the best of ten draws"
    moved = abs(float(long["reward"][0] - short["reward"][0]))
    why = f"what {long['num_steps'][0]} steps on these batches change over {short['num_steps'][0]}"
    return interval(claim, short["best_of_ten"][0], short["reward"][0], error, allowance=moved, why=why)


def _rare_check(alone: Table, budget: str) -> Check:
    """RWR is left out at equal queries: offline it tends to pi_ref e^{R / beta}, which is nearly as good on R1."""
    names = [name for name in _algorithms(alone) if not (budget == QUERIES and name == "rwr")]
    margins = []
    for name in names:
        rare, common = (alone.where(budget=budget, bandit=bandit, algorithm=name) for bandit in PEAKS)
        error = np.hypot(rare["gain_se"], common["gain_se"])
        margins.append((rare["gain"] - common["gain"] - 4 * error)[0])
    which = "least algorithm but RWR" if budget == QUERIES else "least algorithm"
    return lower(f"{budget}: gain of the freshest samples on R1 less that on R2, {which}", 0.0, min(margins), why=_LESS)


def _disagreements(table: Table) -> list[Check]:
    few, more = table["collections"].max() // 16, table["collections"].max() // 4
    margins = []
    for name in [name for name in _algorithms(table) if name != "pref_ft"]:
        queries, steps = (table.where(budget=b, bandit="R1", algorithm=name, collections=few) for b in (QUERIES, STEPS))
        error = np.hypot(queries["gain_se"], steps["gain_se"])
        margins.append((steps["gain"] - queries["gain"] - 4 * error)[0])
    claim = f"R1, {few} collections: loss at equal steps less that at equal queries, least algorithm but Pref-FT"
    checks = [lower(claim, 0.0, min(margins), why=_LESS)]
    row = table.where(budget=QUERIES, bandit="R1", algorithm="ppo", collections=more)
    claim = f"R1, {QUERIES}: PPO with {more} collections over PPO with a new one before every step"
    return [*checks, lower(claim, 0.0, margin(row, "gain", -1)[0], why=_LESS)]


def _algorithms(table: Table) -> list[str]:
    return list(dict.fromkeys(table["algorithm"].tolist()))


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
