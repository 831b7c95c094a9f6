"""Curves over rounds of several arms, each at the learning rate of one grid that is best on held-out seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from banditlab import llm
from banditlab.claims import statistics
from banditlab.claims.checks import Check, identity, lower, upper
from banditlab.llm.exact import Evaluator
from banditlab.store import Table
from experiments.language_model.shared import references, training_runs
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

EXACT = ("gap", "kl_target", "kl_reference", "win_rate", "expected_reward", "objective")
# Labels a round from which five seeds tell how on-policy's advantage differs between settings.
TELLING = 2048
# Name of an arm -> a name of llm.algorithms.METHODS and its keyword arguments.
Arms = Mapping[str, tuple[str, tuple[tuple[str, Any], ...]]]


@dataclass(frozen=True)
class Sizes:
    """Rounds of num_pairs labels, each passed num_epochs times in batches; rates tried, seeds, held-out seeds.

    The grid of rates was fixed before arms were compared; 1024 labels in batches of 64 cost half of 2048 in batches
    of 128, with as many steps.
    """

    num_pairs: int = 1024
    num_epochs: int = 1
    batch_size: int = 64
    num_rounds: int = 8
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    num_seeds: int = 5
    tuning_seeds: int = 2


PAPER = Sizes(2048, 1, 128, rates=(3e-4, 1e-3, 3e-3, 1e-2), num_seeds=5, tuning_seeds=5)
SMOKE = Sizes(64, 1, 32, 2, rates=(3e-3, 1e-2), num_seeds=3, tuning_seeds=2)


def grid(setup: Setup, sizes: Sizes, arms: Arms, arm: str) -> list[Cell]:
    """The arm's cell at every rate."""
    method, options = arms[arm]
    shape = (sizes.num_pairs, sizes.num_epochs, sizes.batch_size, sizes.num_rounds)
    return [Cell(setup, method, options, *shape, rate) for rate in sizes.rates]


def measure(bench: Bench, setup: Setup, sizes: Sizes, arms: Arms) -> dict[str, np.ndarray]:
    """Of every arm "arm: name": the EXACT metrics (seeds, rounds + 1), from the reference on; num_labels
    (rounds + 1,); "chosen", the place of its rate; "tried", (rates, held-out seeds). And
    `references.reference_columns`."""
    grids = {arm: grid(setup, sizes, arms, arm) for arm in arms}
    found = training_runs.tuned(bench, grids, sizes.num_seeds, sizes.tuning_seeds)
    evaluators = [bench.lab(setup).of(seed)[1] for seed in range(sizes.num_seeds)]
    data = dict(references.reference_columns(evaluators))
    for arm, (chosen, history, tried) in found.items():
        for name in EXACT:
            first = reference_metric(evaluators, name)
            data[f"{arm}: {name}"] = np.concatenate([first[:, None], history[name]], axis=1)
        data[f"{arm}: num_labels"] = np.concatenate([[0.0], history["num_labels"][0]])
        data[f"{arm}: chosen"] = np.asarray(grids[arm].index(chosen))
        data[f"{arm}: tried"] = tried
    return data


def reference_metric(evaluators: Sequence[Evaluator], name: str) -> np.ndarray:
    """(len(evaluators),) a metric of the references themselves, to twelve decimals: some are exact, like 1/2."""
    values = [float(llm.exact.measure(each, each.env.log_reference)[name]) for each in evaluators]
    return np.round(values, 12) + 0.0


def rows(
    data: Mapping[str, np.ndarray], sizes: Sizes, arms: Sequence[str], baseline: str, names: Sequence[str] = EXACT
) -> list[dict[str, Any]]:
    """A row per arm and round, round 0 being the reference; differences from the baseline arm are seed by seed."""
    listed = []
    for arm in arms:
        shared = {"arm": arm, "seeds": sizes.num_seeds} | _choice(data, sizes, arm)
        for name in ("reference_coverage", "optimum"):
            shared |= statistics.mean(name, data[name])
        for number in range(sizes.num_rounds + 1):
            row: dict[str, Any] = {"round": number, "num_labels": int(data[f"{arm}: num_labels"][number])}
            for name in names:
                row |= statistics.mean(name, data[f"{arm}: {name}"][:, number])
                over = data[f"{arm}: {name}"][:, number] - data[f"{baseline}: {name}"][:, number]
                row |= statistics.mean(f"{name}_over", over)
            whole = data[f"{arm}: objective"][:, number] + data[f"{arm}: gap"][:, number]
            row["identity_error"] = round(float(np.abs(whole - data["optimum"]).max()), 9)
            listed.append(shared | row)
    return listed


def table(listed: list[dict[str, Any]]) -> Table:
    """The rows, and how many best rates lie at an end of the grid."""
    edges = sum(row["rate_at_edge"] for row in listed if row["round"] == 0)
    return Table.from_rows(listed, {"failures": {"best learning rate at an end of the grid": edges}})


def _choice(data: Mapping[str, np.ndarray], sizes: Sizes, arm: str) -> dict[str, float]:
    rate = sizes.rates[int(data[f"{arm}: chosen"])]
    row = {"rate": rate, "rate_at_edge": int(rate in (sizes.rates[0], sizes.rates[-1]))}
    for tried, gaps in zip(sizes.rates, data[f"{arm}: tried"], strict=True):
        row |= statistics.mean(f"held_out_{tried:g}", gaps)
    return row


def sound_checks(found: Table) -> list[Check]:
    """J + gap = J* in every run and round, and the reference, which is round 0, wins half of its comparisons."""
    start, end = found.where(round=0), found.where(round=found["round"].max())
    why = "rounding of sums over the responses"
    claim = "J(pi) + gap = beta E_x log E_ref e^{r/beta}, largest error of any run and round"
    half = "win rate of the reference against itself"
    return [
        upper(claim, 0.0, float(found["identity_error"].max()), allowance=2e-9, why=f"{why}, to nine decimals"),
        identity("J(pi) + mean gap after the last round, against J*", end["optimum"][0], _sum(end), rtol=1e-8, why=why),
        identity(half, 0.5, float(start["win_rate"].max()), rtol=1e-8, why=why),
    ]


def _sum(end: Table) -> float:
    return float(end["objective"][0] + end["gap"][0])


def less(claim: str, row: Table, name: str) -> Check:
    """Passes iff a mean over seeds is below zero by four of its standard errors."""
    return upper(claim, 0.0, float(row[name][0]) + _four_errors(row, name), why=_SPREAD)


def more(claim: str, row: Table, name: str) -> Check:
    """Passes iff a mean over seeds is above zero by four of its standard errors."""
    return lower(claim, 0.0, float(row[name][0]) - _four_errors(row, name), why=_SPREAD)


def apart(claim: str, larger: Table, smaller: Table, name: str) -> Check:
    """Passes iff one mean over seeds is above another by four standard errors of both."""
    error = math.hypot(_four_errors(larger, name), _four_errors(smaller, name))
    difference = float(larger[name][0] - smaller[name][0])
    return lower(claim, 0.0, difference - error, why="four standard errors of the difference")


def _four_errors(row: Table, name: str) -> float:
    """Of a mean over seeds; nan, which no check passes, where all seeds agree to the bit: then nothing was compared."""
    error = float(row[f"{name}_se"][0])
    return 4 * error if error > 0 else math.nan


# Student's t with four degrees of freedom is beyond 4 in 0.8% of all cases, and not in 0.003%.
_SPREAD = "four standard errors of the difference, seed by seed; five seeds: passes by chance in 0.8%"
