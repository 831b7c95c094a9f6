"""Gradient steps per batch of fresh samples: how many, for whom they hurt, and what PPO's clip does about it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval, statistics
from banditlab.didactic import policies, training
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings
from banditlab.exact import first_step
from experiments.didactic.shared import tuned_tables, tuned_training
from experiments.didactic.shared.shortfalls import LINEAR, panels
from experiments.didactic.shared.table_rows import rows_of
from experiments.didactic.shared.tuned_tables import Cell, least_more, least_of
from experiments.didactic.shared.tuned_training import Batches

CLAIM = (
    "On R1 more gradient steps on every batch of fresh samples pay only at a smaller learning rate: at the best rate "
    "of one step they hurt in the end, PPO with its clip too, though later than REINFORCE; on R2 they matter little."
)
COLUMNS = tuned_tables.described(
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
) | {
    "first_step": {
        "num_samples": "draws at the only state [draws]",
        "learning_rate": "of Adam, whose first step is taken",
        "improvement": "E_pi R after the step less E_ref R, over seeds [reward]",
        "predicted": "the same by enumeration of the draws [reward]",
        "predicted_error": "standard error of the mean of so many runs, by enumeration [reward]",
    }
}
EACH, FIXED, FIRST = "rate tuned at each T", "rate tuned at T = 1", "first step"
# Name -> algorithm. Without a clip PPO keeps its ratio; REINFORCE has neither.
METHODS = {"best_of_n": "best_of_n", "ipo": "ipo", "reinforce": "reinforce", "ppo_unclipped": "ppo", "ppo": "ppo"}


@dataclass(frozen=True)
class Config(Batches):
    """Fresh batches, each for T gradient steps; runs of a single step.

    The grid of rates was fixed before any run, the orderings checked on trial runs of seed 0; seed 1 was run after
    that.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    reuses: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    num_batches: int = 16
    clip: float = 0.2
    first_rate: float = 2.0
    first_seeds: int = 65_536


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Ways to tune, methods and T, each on both bandits; a row per algorithm for the law of a single step on R2."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config))
    cells = [_cell(config, data, *way) for way in product((EACH, FIXED), config.methods, config.reuses)]
    tables = tuned_tables.tables(config.study(policies.tabular()), config.num_samples, cells)
    # The other mode takes its rates from these.
    tuning = dict(tables["tuning"].where(mode=EACH).columns)
    del tuning["mode"]
    return tables | {"tuning": Table(tuning), "first_step": Table.from_rows(_first_rows(config, data))}


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of every cell, and the rewards after a single step."""
    jobs = {name: partial(_train, config, name) for name in config.methods}
    return tuned_training.own_names(jobs | {FIRST: partial(_first_steps, config)})


def _train(config: Config, method: str) -> dict[str, np.ndarray]:
    """Every T at its own best rate, and at the best rate of T = 1."""
    shared = {"num_states": config.num_states, "num_samples": config.num_samples, "on_policy": True}
    study = config.study(policies.tabular(), clip=_clip(config, method))
    arrays: dict[str, np.ndarray] = {}
    first: Mapping[str, np.ndarray] | None = None
    for reuse in config.reuses:
        options = shared | {"num_steps": reuse * config.num_batches, "reuse": reuse}
        each = tuned_training.tuned(study, METHODS[method], **options)
        first = each if first is None else first
        fixed = tuned_training.measure(study, METHODS[method], first["rate"], **options)
        fixed |= {"rate": first["rate"], "held_out": each["held_out"]}
        for mode, found in ((EACH, each), (FIXED, fixed)):
            arrays |= tuned_training.named(_name(mode, method, reuse), found)
    return arrays


def _first_steps(config: Config) -> dict[str, np.ndarray]:
    """E_pi R after one step on one state: of REINFORCE on two draws, of Best-of-N on N; runs (n,) each."""
    bandit = Problem(*(leaf[1] for leaf in tuned_training.bandits()))
    shared = {"num_steps": 1, "num_states": 1, "on_policy": True, "record_at": (1,), "seed": config.seed}
    shared |= {"settings": Settings(learning_rate=config.first_rate)}
    found, few = {}, config.first_seeds // 32
    for method, samples, seeds in (("reinforce", 2, config.first_seeds), ("best_of_n", config.num_samples, few)):
        result = training.train(method, policies.tabular(), bandit, num_samples=samples, seeds=seeds, **shared)
        found[f"{FIRST}, {method}: reward"] = result["reward"][:, -1]
    return found


def _first_rows(config: Config, data: dict[str, np.ndarray]) -> Iterator[dict]:
    """The mean improvement of a single step, the enumerated one, and the standard error it implies."""
    reward, log_reference = (np.asarray(leaf[1]) for leaf in tuned_training.bandits())
    reference = np.exp(log_reference)
    start = float(reference @ reward)
    pair = first_step.pairwise(reward, reference, config.first_rate)
    best = first_step.best_of_n(reward, reference, config.first_rate, config.num_samples)
    for method, draws, (mean, deviation) in (("reinforce", 2, pair), ("best_of_n", config.num_samples, best)):
        measured = data[f"{FIRST}, {method}: reward"] - start
        row = {"method": method, "bandit": "R2", "num_samples": draws, "learning_rate": config.first_rate}
        row |= {"seeds": len(measured)} | statistics.mean("improvement", measured)
        row |= statistics.quantiles("improvement", measured)
        yield row | {"predicted": mean - start, "predicted_error": deviation / len(measured) ** 0.5}


def _clip(config: Config, method: str) -> float:
    return math.inf if method == "ppo_unclipped" else config.clip


def _name(mode: str, method: str, reuse: int) -> str:
    return f"{method}, {mode}, {reuse}"


def _cell(config: Config, data: dict[str, np.ndarray], mode: str, method: str, reuse: int) -> Cell:
    ways = (method, reuse), (method, config.reuses[0]), ("reinforce", reuse)
    found, once, rival = (tuned_training.arrays_of(data, _name(mode, *way)) for way in ways)
    facts = {"num_steps": reuse * config.num_batches, "clip": _clip(config, method)}
    facts["num_queries"] = config.queries(config.num_batches)
    differences = {"loss": once["reward"] - found["reward"], "over_reinforce": found["reward"] - rival["reward"]}
    return Cell({"mode": mode, "method": method, "reuse": reuse}, facts, found, differences)


def check(tables: Mapping[str, Table]) -> list[Check]:
    """A single step's law; exact values; where reuse hurts and where it pays."""
    table = tables["runs"]
    checks = tuned_tables.sound_checks(table, tables["bandits"])
    for name, says in (("reinforce", "REINFORCE"), ("best_of_n", "Best-of-N")):
        (row,) = rows_of(tables["first_step"].where(method=name))
        claim = f"R2, one state, one step of Adam: mean improvement of {says} on {row['num_samples']} draws, enumerated"
        checks.append(interval(claim, row["predicted"], row["improvement"], row["predicted_error"]))
    few, most = 4, table["reuse"].max()
    fixed, each = (table.where(mode=mode, reuse=most, bandit="R1") for mode in (FIXED, EACH))
    claim = f"R1, {FIXED}: loss by T = {most}, least method but IPO, whose loss is not resolved"
    checks.append(least_of(claim, fixed.kept(fixed["method"] != "ipo"), "loss"))
    claim = f"R1: loss by T = {most} at the rate of T = 1 less that at its own rate, least method"
    checks.append(least_more(claim, fixed, each, "loss"))
    for name in [name for name in ("ppo", "ipo") if name in each["method"]]:
        claim = f"R1, {EACH}: gain of {name} by T = {most}"
        checks.append(least_of(claim, each.where(method=name), "loss", sign=-1))
    for mode in (EACH, FIXED):
        row = table.where(mode=mode, method="ppo", reuse=few, bandit="R1")
        checks.append(least_of(f"R1, {mode}: PPO over REINFORCE at T = {few}", row, "over_reinforce"))
    row = table.where(mode=FIXED, method="reinforce", reuse=most, bandit="R2")
    return [*checks, least_of(f"R2, {FIXED}: loss of REINFORCE by T = {most}", row, "loss")]


def plot(tables: Mapping[str, Table]):
    """What is missing to the largest reward, against the gradient steps on each batch."""
    table = tables["runs"]
    titles = {
        EACH: (
            "$R_1$, rate tuned at each $T$: more steps\npay for PPO and IPO",
            "$R_2$, rate tuned at each $T$: steps\nmatter little",
        ),
        FIXED: (
            "$R_1$, rate tuned at $T$ = 1: many steps hurt,\nand PPO's clip puts that off",
            "$R_2$, rate tuned at $T$ = 1: PPO without its\nclip loses most",
        ),
    }
    made, axes = panels(table, titles, 4.3, column="mode", by="method", along="reuse")
    for ax in axes[-1]:
        ax.set_xlabel("$T$, Adam steps on each batch (methods a little apart)")
    plotting.legend(made, columns=5)
    clip, linear = (plotting.number(value) for value in (table.where(method="ppo")["clip"][0], LINEAR))
    plotting.caption(
        made,
        f"Tabular policy, {table['num_queries'][0]:,} reward queries in on-policy batches, $T$ Adam steps on each: "
        f"means over {table['seeds'][0]} seeds. {plotting.BARS} Axes are linear below {linear}, bars cut at 0. Rates "
        f"are tuned on held-out seeds, at each $T$ (left) or at $T$ = 1 (right). PPO clips at {clip}; REINFORCE has "
        f"neither ratio nor clip.{plotting.only_if(table['failed'].sum(), ' Runs not finite: {}.')}",
    )
    return made


PRESETS = {
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
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
