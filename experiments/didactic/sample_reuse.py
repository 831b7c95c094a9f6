"""Gradient steps per batch of fresh samples: how many, for whom they hurt, and what PPO's clip does about it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings
from banditlab.store import Shards, Table
from experiments.didactic.sample_reuse_view import EACH, FIRST, FIXED, plot
from experiments.didactic.shared import first_step, tuned_training
from experiments.didactic.shared.tuned_training import PEAKS, Study, margin
from experiments.framework import statistics
from experiments.framework.checks import Check, interval, lower
from experiments.framework.experiment import Experiment

CLAIM = (
    "On R1 more gradient steps on every batch of fresh samples pay only at a smaller learning rate: at the best rate "
    "of one step they hurt in the end, PPO with its clip too, though later than REINFORCE; on R2 they matter little."
)
# Name -> algorithm. Without a clip PPO keeps its ratio; REINFORCE has neither.
METHODS = {"best_of_n": "best_of_n", "ipo": "ipo", "reinforce": "reinforce", "ppo_unclipped": "ppo", "ppo": "ppo"}


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


def study(config: Config, method: str) -> Study:
    """The runs' shared part."""
    settings = Settings(ipo_target=config.ipo_target, clip=_clip(config, method))
    sizes = (config.num_seeds, config.seeds_per_call, config.tuning_seeds, config.seed)
    return Study(policies.tabular(), config.rates, settings, *sizes)


def _clip(config: Config, method: str) -> float:
    return math.inf if method == "ppo_unclipped" else config.clip


def run(config: Config, shards: Shards) -> Table:
    """A row per way to tune, method, T and bandit; then one per algorithm for the law of a single step on R2."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config))
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


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of every cell, and the rewards after a single step."""
    jobs = {name: partial(_train, config, name) for name in config.methods}
    jobs |= {FIRST: partial(_first_steps, config)}
    found = tuned_training.side_by_side(jobs)
    return {name.split(": ", 1)[1]: values for name, values in found.items()}


def _train(config: Config, method: str) -> dict[str, np.ndarray]:
    """Every T at its own best rate, and at the best rate of T = 1."""
    shared = {"num_states": config.num_states, "num_samples": config.num_samples, "on_policy": True}
    arrays: dict[str, np.ndarray] = {}
    first: Mapping[str, np.ndarray] | None = None
    for reuse in config.reuses:
        options = shared | {"num_steps": reuse * config.num_batches, "reuse": reuse}
        each = tuned_training.tuned(study(config, method), METHODS[method], **options)
        first = each if first is None else first
        fixed = tuned_training.measure(study(config, method), METHODS[method], first["rate"], **options)
        fixed |= {"rate": first["rate"], "held_out": each["held_out"]}
        for mode, found in ((EACH, each), (FIXED, fixed)):
            arrays |= {f"{_name(mode, method, reuse)}: {key}": value for key, value in found.items()}
    return arrays


def _first_steps(config: Config) -> dict[str, np.ndarray]:
    """E_pi R after one step on one state: of REINFORCE on two draws, of Best-of-N on ten; runs (n,) each."""
    bandit = jax.tree.map(lambda leaf: leaf[1], tuned_training.bandits())
    found = {}
    for method, samples, seeds in (("reinforce", 2, config.first_seeds), ("best_of_n", 10, config.first_seeds // 32)):
        result = training.train(
            method,
            policies.tabular(),
            Problem(*bandit),
            num_steps=1,
            num_states=1,
            num_samples=samples,
            on_policy=True,
            seeds=seeds,
            settings=Settings(learning_rate=config.first_rate),
            record_at=(1,),
            seed=config.seed,
        )
        found[f"{FIRST}, {method}: reward"] = result["reward"][:, -1]
    return found


def _name(mode: str, method: str, reuse: int) -> str:
    return f"{method}, {mode}, {reuse}"


def _rows(config: Config, data: dict[str, np.ndarray], mode: str, method: str, reuse: int) -> list[dict]:
    found = tuned_training.arrays_of(data, _name(mode, method, reuse))
    once = tuned_training.arrays_of(data, _name(mode, method, config.reuses[0]))
    rival = tuned_training.arrays_of(data, _name(mode, "reinforce", reuse))
    rows = []
    for place, bandit in enumerate(PEAKS):
        row = {"mode": mode, "method": method, "reuse": reuse, "bandit": bandit}
        row |= {"num_steps": reuse * config.num_batches, "clip": _clip(config, method)}
        row |= {"num_queries": config.num_batches * config.num_states * config.num_samples}
        row |= tuned_training.columns(study(config, method), found, place)
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


def check(table: Table) -> list[Check]:
    """A single step's law; exact values; where reuse hurts and where it pays."""
    runs = Table.stack([table.where(mode=mode) for mode in (EACH, FIXED)])
    checks = tuned_training.sound_checks(runs)
    for name, says in (("reinforce", "REINFORCE on two draws"), ("best_of_n", "Best-of-N on ten")):
        row = table.where(mode=FIRST, method=name)
        claim = f"R2, one state, one step of Adam: mean improvement of {says}, enumerated"
        checks.append(interval(claim, row["predicted"][0], row["reward"][0], float(row["error"][0])))
    most = runs["reuse"].max()
    fixed, each = (table.where(mode=mode, reuse=most, bandit="R1") for mode in (FIXED, EACH))
    least = margin(fixed, "loss")[fixed["method"] != "ipo"].min()
    claim = f"R1, {FIXED}: loss by T = {most}, least method but IPO, whose loss is not resolved"
    checks.append(lower(claim, 0.0, least, why=_LESS))
    errors = np.hypot(fixed["loss_se"], each["loss_se"])
    least = (fixed["loss"] - each["loss"] - 4 * errors).min()
    claim = f"R1: loss by T = {most} at the rate of T = 1 less that at its own rate, least method"
    checks.append(lower(claim, 0.0, least, why=_LESS))
    for name in ("ppo", "ipo"):
        row = each.where(method=name)
        gain = margin(row, "loss", -1)[0]
        checks.append(lower(f"R1, {EACH}: gain of {name} by T = {most}", 0.0, gain, why=_LESS))
    return checks + _method_checks(table, most)


_LESS = "less four standard errors"


def _method_checks(table: Table, most: int) -> list[Check]:
    few = 4
    checks = []
    for mode in (EACH, FIXED):
        row = table.where(mode=mode, method="ppo", reuse=few, bandit="R1")
        gain = margin(row, "over_reinforce")[0]
        checks.append(lower(f"R1, {mode}: PPO over REINFORCE at T = {few}", 0.0, gain, why=_LESS))
    row = table.where(mode=FIXED, method="reinforce", reuse=most, bandit="R2")
    claim = f"R2, {FIXED}: loss of REINFORCE by T = {most}"
    return [*checks, lower(claim, 0.0, margin(row, "loss")[0], why=_LESS)]


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
