"""Curves over rounds of several arms, each at the learning rate of one grid that is best on held-out seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from banditlab import llm
from banditlab.claims import Check, Shards, Table, above, below, identity, statistics, upper
from banditlab.llm.exact import Evaluator
from experiments.language_model.shared import references, training_runs
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

# Exact metrics of a policy, by summation over every response.
MEANINGS = {
    "gap": "J(pi*) - J(pi) of target pi* and policy pi, J the objective, mean over prompts [reward]",
    "kl_target": "KL(pi*||pi) of target pi* and policy pi, mean over prompts [nats]",
    "kl_reference": "KL(pi||pi_ref) of policy pi and reference pi_ref, mean over prompts [nats]",
    "win_rate": "probability that a response of the policy is preferred to one of the reference",
    "expected_reward": "expected reward of the policy, mean over prompts [reward]",
    "objective": "expected reward of the policy less beta times its KL to the reference, mean over prompts [reward]",
}
EXACT = tuple(MEANINGS)
AT_REFERENCE = "of the reference as the policy: "
RATES = {
    "learning_rate": "learning rate of Adam",
    "held_out_gap": "gap after the last round, mean over held-out seeds [reward]",
    "chosen": "1 for the rate of the grid with the smallest held-out gap, 0 for the others",
}
# Labels a round from which five seeds tell how on-policy's advantage differs between settings.
TELLING = 2048
# Name of an arm -> a name of llm.algorithms.METHODS and its keyword arguments.
Arms = Mapping[str, tuple[str, tuple[tuple[str, Any], ...]]]
Parts = Mapping[str, Table]


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


def measured(shards: Shards, setup: Setup, sizes: Sizes, arms: Arms) -> dict[str, np.ndarray]:
    """`measure`, as the only shard of an experiment."""
    shards.expect(1)
    return shards.get("all", (0, sizes.num_seeds), partial(measure, Bench(shards), setup, sizes, arms))


def measure(bench: Bench, setup: Setup, sizes: Sizes, arms: Arms) -> dict[str, np.ndarray]:
    """Of every arm "arm: name": the EXACT metrics (seeds, rounds + 1), from the reference on; num_labels
    (rounds + 1,); "chosen", the place of its rate; "tried", (rates, held-out seeds). And
    `references.reference_columns`."""
    shape = (sizes.num_pairs, sizes.num_epochs, sizes.batch_size, sizes.num_rounds)
    grids = {arm: [Cell(setup, *how, *shape, rate) for rate in sizes.rates] for arm, how in arms.items()}
    found = training_runs.tuned(bench, grids, sizes.num_seeds, sizes.tuning_seeds)
    evaluators = [bench.lab(setup).of(seed)[1] for seed in range(sizes.num_seeds)]
    data = dict(references.reference_columns(evaluators))
    for arm, (chosen, history, tried) in found.items():
        for name in EXACT:
            data[f"{arm}: {name}"] = from_reference(evaluators, history, name)
        data[f"{arm}: num_labels"] = np.concatenate([[0.0], history["num_labels"][0]])
        data[f"{arm}: chosen"] = np.asarray(grids[arm].index(chosen))
        data[f"{arm}: tried"] = tried
    return data


def from_reference(evaluators: Sequence[Evaluator], history: training_runs.Histories, name: str) -> np.ndarray:
    """(seeds, rounds + 1) a metric of the seeds' references, and then after every round."""
    return np.concatenate([reference_metric(evaluators, name)[:, None], history[name]], axis=1)


def paths(bench: Bench, cells: Sequence[Cell], seeds: int, names: Iterable[str]) -> dict[str, np.ndarray]:
    """`from_reference` of cells of one setup, stacked: (len(cells), seeds, rounds + 1)."""
    found = bench.histories(cells, seeds)
    evaluators = [bench.lab(cells[0].setup).of(seed)[1] for seed in range(seeds)]
    return {name: np.stack([from_reference(evaluators, history, name) for history in found]) for name in names}


def reference_metric(evaluators: Sequence[Evaluator], name: str) -> np.ndarray:
    """(len(evaluators),) a metric of the references themselves, to twelve decimals: some are exact, like 1/2."""
    values = [float(llm.exact.measure(each, each.env.log_reference)[name]) for each in evaluators]
    return np.round(values, 12) + 0.0


def tables(
    data: Mapping[str, np.ndarray], sizes: Sizes, arms: Iterable[str], baseline: str, further: Sequence[str] = ()
) -> dict[str, Table]:
    """The parts "reference", which all arms start from; "rates", of every arm; "rounds", a row per arm and round.

    Differences from the baseline arm are seed by seed; there is none of the ``further`` metrics.
    """
    rates, rounds, start = [], [], {}
    for arm in arms:
        own = {name: data[f"{arm}: {name}"] for name in EXACT}
        found = {}
        for name, values in own.items():
            found |= {name: values, f"{name}_over": values - data[f"{baseline}: {name}"]}
        found |= {name: data[f"{arm}: {name}"] for name in further}
        errors = np.abs(own["objective"] + own["gap"] - data["optimum"][:, None]).max(axis=0).round(9)
        of_arm = {"arm": arm, "seeds": sizes.num_seeds, "learning_rate": sizes.rates[int(data[f"{arm}: chosen"])]}
        rates += [{"arm": arm} | row for row in rate_rows(sizes.rates, data[f"{arm}: tried"])]
        for row in steps(of_arm, "round", found):
            place = row["round"]
            labels = {"num_labels": int(data[f"{arm}: num_labels"][place])}
            rounds.append(row | labels | {"identity_error": float(errors[place])})
        exact = {"coverage": data["reference_coverage"], "optimum": data["optimum"]}
        start = means(exact | {name: values[:, 0] for name, values in own.items()})
        start |= {"seeds": sizes.num_seeds, "identity_error": float(errors[0])}
    listed = {"reference": [start], "rates": rates, "rounds": rounds}
    return {part: Table.from_rows(each) for part, each in listed.items()}


def steps(run: Mapping[str, Any], number: str, found: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row of ``run`` for every round after the reference: its ``number``, and means of ``found`` by round."""
    count = next(iter(found.values())).shape[1]
    return [{**run, number: k} | means({name: values[:, k] for name, values in found.items()}) for k in range(1, count)]


def means(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The columns of `statistics.mean` of every value (seeds,)."""
    return {name: value for each in found.items() for name, value in statistics.mean(*each).items()}


def rate_rows(rates: Sequence[float], tried: np.ndarray) -> list[dict[str, float]]:
    """The columns RATES of a grid, from the last gaps (rates, held-out seeds)."""
    best = tried.mean(axis=-1).argmin()
    return [
        {"learning_rate": rate, "chosen": int(place == best)} | statistics.mean("held_out_gap", gaps)
        for place, (rate, gaps) in enumerate(zip(rates, tried, strict=True))
    ]


def columns(baseline: str) -> dict[str, dict[str, str]]:
    """What the columns of `tables` mean, the baseline arm in words."""
    error = {"identity_error": "rounding-level residual: largest |J + gap - J*| of any seed, to nine decimals [reward]"}
    return {
        "reference": meanings(EXACT, AT_REFERENCE)
        | error
        | {
            "coverage": "E_pi*[pi*/pi_ref] of target pi* and reference pi_ref, mean over prompts",
            "optimum": "J* = beta log E_ref e^(reward/beta), the largest objective, mean over prompts [reward]",
        },
        "rates": RATES,
        "rounds": MEANINGS | error | less_than(baseline) | {"learning_rate": "the arm's chosen rate"},
    }


def meanings(names: Iterable[str], of: str = "") -> dict[str, str]:
    """What the columns of metrics mean."""
    return {name: f"{of}{MEANINGS[name]}" for name in names}


def less_than(other: str, names: Iterable[str] = EXACT, suffix: str = "over") -> dict[str, str]:
    """What the columns "metric_suffix" mean: differences from another run, which is given in words."""
    split = {name: MEANINGS[name].partition(" [") for name in names}
    return {f"{name}_{suffix}": f"{name} less that of {other}, seed by seed{b}{c}" for name, (_, b, c) in split.items()}


def sound_checks(parts: Parts) -> list[Check]:
    """J + gap = J* in every run and round, and the reference wins half of its comparisons."""
    start, rounds = parts["reference"], parts["rounds"]
    end = rounds.where(round=rounds["round"].max())
    why = "rounding of sums over the responses"
    claim = "J(pi) + gap = beta E_x log E_ref e^{r/beta}, largest error of any run and round"
    error = max(float(table["identity_error"].max()) for table in (start, rounds))
    whole = float(end["objective"][0] + end["gap"][0])
    half = "win rate of the reference against itself"
    return [
        upper(claim, 0.0, error, allowance=2e-9, why=f"{why}, to nine decimals"),
        identity("J(pi) + mean gap after the last round, against J*", start["optimum"][0], whole, rtol=1e-8, why=why),
        identity(half, 0.5, float(start["win_rate"].max()), rtol=1e-8, why=why),
    ]


def less(claim: str, row: Table, name: str) -> Check:
    """Passes iff a mean of differences, seed by seed, is below zero by four of its standard errors."""
    return below(claim, 0.0, float(row[name][0]), float(row[f"{name}_se"][0]), why=_chance(row))


def more(claim: str, row: Table, name: str) -> Check:
    """Passes iff a mean of differences, seed by seed, is above zero by four of its standard errors."""
    return above(claim, 0.0, float(row[name][0]), float(row[f"{name}_se"][0]), why=_chance(row))


def apart(claim: str, larger: Table, smaller: Table, name: str) -> Check:
    """Passes iff one mean over seeds is above another by four standard errors of both."""
    error = math.hypot(larger[f"{name}_se"][0], smaller[f"{name}_se"][0])
    return above(claim, 0.0, float(larger[name][0] - smaller[name][0]), error, why="of the difference")


def _chance(row: Table) -> str:
    """How often Student's t of so many seeds is beyond 4; with many seeds that is 0.003% of all cases."""
    seeds = int(row["seeds"][0])
    return f"seed by seed; {seeds} seeds: passes by chance in {100 * special.stdtr(seeds - 1, -4.0):.1g}%"
