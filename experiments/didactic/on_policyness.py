"""How often fresh samples are drawn: at equal reward queries, at equal gradient steps, and at equal compute."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval
from banditlab.didactic import policies
from experiments.didactic.shared import tuned_tables, tuned_training
from experiments.didactic.shared.shortfalls import LINEAR, panels
from experiments.didactic.shared.tuned_tables import Cell, least_more, least_of
from experiments.didactic.shared.tuned_training import PEAKS, Batches

CLAIM = (
    "Where the peak is rare (R1) every algorithm gains from drawing afresh more often, and more than where it is "
    "common (R2; but for RWR at equal queries); how much, and whether as often as possible is best, depends on what "
    "is held fixed."
)
COLUMNS = tuned_tables.described(
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
)
BUDGETS = QUERIES, STEPS, COMPUTE = ("equal queries", "equal steps", "equal compute")


@dataclass(frozen=True)
class Config(Batches):
    """Collections of fresh samples up to one before every step.

    draw_price: what a draw costs, in units of a gradient pass over it. beta: temperature of RWR's weights.

    The grid of rates (once from 0.01 to 1), the price (once 4) and the orderings checked were settled on trial runs of
    seed 0; seed 1 was run once they were.
    """

    algorithms: tuple[str, ...] = ("best_of_n", "pref_ft", "rwr", "ipo", "reinforce", "ppo")
    collections: tuple[int, ...] = (1, 4, 16, 64)
    draw_price: int = 2
    beta: float = 0.1


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Budgets, algorithms and numbers of collections, each on both bandits."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config))
    ways = product(BUDGETS, config.algorithms, config.collections)
    return tuned_tables.tables(_study(config), config.num_samples, [_cell(config, data, *way) for way in ways])


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


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.tuned` for every cell; cells that share a program follow one another."""
    few, most = [c for c in config.collections if c < max(config.collections)], max(config.collections)
    fresh = [(STEPS, most), *product((STEPS, COMPUTE), few)]
    jobs = {}
    for algorithm, cells in product(config.algorithms, ([(QUERIES, c) for c in few], fresh)):
        jobs[f"{algorithm}, {cells[0][0]}"] = partial(_train, config, algorithm, cells)
    return tuned_training.own_names(jobs)


def _train(config: Config, algorithm: str, cells: list[tuple[str, int]]) -> dict[str, np.ndarray]:
    shapes = {"num_states": config.num_states, "num_samples": config.num_samples, "on_policy": True}
    arrays = {}
    for cell in cells:
        found = tuned_training.tuned(_study(config), algorithm, **shapes, **schedule(config, *cell))
        arrays |= tuned_training.named(_name(config, algorithm, *cell), found)
    return arrays


def _study(config: Config) -> tuned_training.Study:
    return config.study(policies.tabular(), beta=config.beta)


def _name(config: Config, algorithm: str, budget: str, collections: int) -> str:
    return f"{algorithm}, {'any' if collections == max(config.collections) else budget}, {collections}"


def _cell(config: Config, data: dict, budget: str, algorithm: str, collections: int) -> Cell:
    ways = (algorithm, collections), ("best_of_n", collections), (algorithm, max(config.collections))
    names = [_name(config, method, budget, count) for method, count in ways]
    found, rival, freshest = (tuned_training.arrays_of(data, name) for name in names)
    plan = schedule(config, budget, collections)
    batches = plan["num_steps"] // plan["reuse"]
    facts = {"num_steps": plan["num_steps"], "num_queries": config.queries(batches)}
    facts |= {"num_states": config.num_states, "num_samples": config.num_samples, "draw_price": config.draw_price}
    facts |= {"cost": config.draw_price * batches + plan["num_steps"]}
    differences = {"gain": freshest["reward"] - found["reward"], "over_best_of_n": found["reward"] - rival["reward"]}
    keys = {"budget": budget, "algorithm": algorithm, "collections": collections}
    return Cell(keys, facts, found, differences)


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Exact values, the frontier, who gains from fresh samples, where, and at what equal cost."""
    table = tables["runs"]
    checks = [*tuned_tables.sound_checks(table, tables["bandits"]), _limit_check(table, tables["bandits"])]
    alone = table.where(collections=table["collections"].min())
    for budget in BUDGETS:
        claim = f"R1, {budget}: gain of the freshest samples, least algorithm"
        checks.append(least_of(claim, alone.where(budget=budget, bandit="R1"), "gain"))
    checks += [_rare_check(alone, budget) for budget in (QUERIES, STEPS)]
    rows = alone.where(budget=QUERIES, bandit="R1")
    for name in [name for name in ("ipo", "rwr") if name in rows["algorithm"]]:
        claim = f"R1, {QUERIES}, all from the reference: {name} over Best-of-N"
        checks.append(least_of(claim, rows.where(algorithm=name), "over_best_of_n"))
    return checks + _disagreements(table)


def _limit_check(table: Table, bandits: Table) -> Check:
    """One batch, trained to the end: the policy is the law of its bests, whose mean is that of the best of N draws."""
    rows = table.where(algorithm="best_of_n", bandit="R2", collections=table["collections"].min())
    short, long, exact = rows.where(budget=STEPS), rows.where(budget=COMPUTE), bandits.where(bandit="R2")
    error = float(exact["best_of_n_sd"][0] / np.sqrt(short["seeds"][0] * short["num_states"][0]))
    draws = exact["num_samples"][0]
    claim = f"R2, one batch from the reference: Best-of-N reaches the mean of the best of {draws} draws"
    moved = abs(float(long["reward"][0] - short["reward"][0]))
    why = f"what {long['num_steps'][0]} steps on these batches change over {short['num_steps'][0]}"
    return interval(claim, exact["best_of_n"][0], short["reward"][0], error, allowance=moved, why=why)


def _rare_check(alone: Table, budget: str) -> Check:
    """RWR is left out at equal queries: offline it tends to pi_ref e^{R / beta}, which is nearly as good on R1."""
    left_out, which = ("rwr", "least algorithm but RWR") if budget == QUERIES else ("", "least algorithm")
    rows = alone.kept(alone["algorithm"] != left_out)
    rare, common = (rows.where(budget=budget, bandit=bandit) for bandit in PEAKS)
    claim = f"{budget}: gain of the freshest samples on R1 less that on R2, {which}"
    return least_more(claim, rare, common, "gain")


def _disagreements(table: Table) -> list[Check]:
    """Where schedules are far enough apart: two budgets disagree, and the most collections are not PPO's best."""
    few, more = table["collections"].max() // 16, table["collections"].max() // 4
    if few not in table["collections"]:
        return []
    rows = table.where(bandit="R1", collections=few)
    rows = rows.kept(rows["algorithm"] != "pref_ft")
    claim = f"R1, {few} collections: loss at equal steps less that at equal queries, least algorithm but Pref-FT"
    checks = [least_more(claim, rows.where(budget=STEPS), rows.where(budget=QUERIES), "gain")]
    row = table.where(budget=QUERIES, bandit="R1", algorithm="ppo", collections=more)
    claim = f"R1, {QUERIES}: PPO with {more} collections over PPO with a new one before every step"
    return [*checks, least_of(claim, row, "gain", sign=-1)]


def plot(tables: Mapping[str, Table]):
    """What is missing to the largest reward, against the number of collections; that of the reference's best of N."""
    table = tables["runs"]
    titles = {
        QUERIES: (
            "$R_1$, equal queries: newer draws\npay, to a point",
            "$R_2$, equal queries: less to gain\nthan on $R_1$, but for RWR",
        ),
        STEPS: ("$R_1$, equal steps: fewer draws\ncost more", "$R_2$, equal steps: less to gain"),
        COMPUTE: ("$R_1$, equal compute: more steps\ndo not replace them", "$R_2$, equal compute: less to gain"),
    }
    made, axes = panels(table, titles, 4.6, column="budget", by="algorithm", along="collections")
    most, least = table["collections"].max(), table["collections"].min()
    for line, bandit in zip(axes, PEAKS, strict=True):
        best = 1 - tables["bandits"].where(bandit=bandit)["best_of_n"].repeat(2)
        for ax in line:
            plotting.theory(ax, np.array((least, most)), best)
    for ax in axes[-1]:
        ax.set_xlabel("collections (algorithms a little apart)")
    plotting.legend(made, columns=4, theory_label=f"best of {table['num_samples'][0]} draws of the reference")
    fresh, alone = table.where(collections=most), table.where(collections=least)
    steps, compute = (alone.where(budget=budget) for budget in (STEPS, COMPUTE))
    plotting.caption(
        made,
        f"Tabular policy: means over {table['seeds'][0]} seeds. {plotting.BARS} Axes are linear below "
        f"{plotting.number(LINEAR)}, bars cut at 0. Rates are tuned on held-out seeds at each point. Right ends are "
        f"the same runs: {most} steps, each on {table['num_states'][0] * table['num_samples'][0]} new draws. Left "
        f"panels: as many draws, of older policies; middle: as many steps on fewer draws, at least "
        f"{steps['num_queries'][0]} of {fresh['num_queries'][0]:,}; right: what draws cost, "
        f"{table['draw_price'][0]} gradient passes each, "
        f"spent on up to {compute['num_steps'][0]} steps."
        + plotting.only_if(table["failed"].sum(), " Runs not finite: {}.")
        + plotting.only_if(table["rate_at_edge"].sum(), f" Best rate at an end of the grid: {{}} of {len(table)}."),
    )
    return made


PRESETS = {
    "smoke": Config(
        algorithms=("best_of_n", "ppo"), collections=(1, 4), num_seeds=10, seeds_per_call=10, tuning_seeds=2
    ),
    "default": Config(),
    "paper": Config(collections=(1, 2, 4, 8, 16, 32, 64), num_seeds=1024, seeds_per_call=512, tuning_seeds=96),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
