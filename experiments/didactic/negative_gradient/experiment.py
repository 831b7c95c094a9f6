"""Negative gradients against maximum likelihood on the same draws, over the plane of peaks, and on-policy as well."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.claims.statistics import mean, quantiles
from banditlab.didactic.problem import best_of_n, problem
from banditlab.store import Shards, Table
from experiments.didactic.negative_gradient.checks import check
from experiments.didactic.negative_gradient.comparisons import CROSSING, R1, R2, RIVALS, SQUARE, WIDTH, crossings
from experiments.didactic.negative_gradient.figure import plot
from experiments.didactic.negative_gradient.runs import METHODS, OFFLINE, ON_POLICY, Budget, tuned

CLAIM = (
    "On the same reference draws, all tuned, a negative gradient beats maximum likelihood of the best or of winners, "
    "which stops at the law of a maximum, by more where the peak is rare than at the mode; but there reward-weighted "
    "likelihood of low temperature beats it, and near the mode not; on-policy draws and a negative gradient combine."
)
# N whose law of the maximum is the limit of a likelihood in infinite data: of a pair's winner, the best of two.
CEILINGS = {"best_of_n": 10, "pref_ft": 2}


@dataclass(frozen=True)
class Config:
    """Peaks (R1's and R2's among them) and widths of the plane; the budget of every run; the grid of rates.

    The grid was changed after looking: a rate of 5 was tried and dropped, since where the peak is rare it scores as
    well as 1.5 but by all or nothing, and tuning picks it by luck. Held-out seeds are as many as it takes to tune IPO
    reliably: with 9 it lost to Best-of-N on R1, with 12 at one root seed of three.
    """

    peaks: tuple[float, ...] = tuple(np.arange(7.5, 96.0, 12.5).tolist())
    widths: tuple[float, ...] = (10.0, 20.0, 30.0)
    num_steps: int = 60
    num_states: int = 4
    num_samples: int = 10
    learning_rates: tuple[float, ...] = (0.05, 0.15, 0.5, 1.5)
    tuning_seeds: int = 9
    tuning_calls: int = 3
    seed: int = 0

    @property
    def budget(self) -> Budget:
        """Measured at the start, a quarter, half and the end."""
        steps = (0, self.num_steps // 4, self.num_steps // 2, self.num_steps)
        sizes = (self.num_steps, self.num_states, self.num_samples)
        return Budget(*sizes, self.learning_rates, steps, self.tuning_seeds, self.tuning_calls)


def run(config: Config, shards: Shards) -> Table:
    """Rows: what a method reached on a problem, the difference of two, the scores that tuned, the exact ceilings."""
    plane = np.asarray([(peak, width) for width in config.widths for peak in config.peaks])
    square = np.asarray([(R1, WIDTH), (R2, WIDTH)])
    on_policy = dict.fromkeys(name for pair in SQUARE for name in pair)
    arms = [(OFFLINE, name, plane) for name in METHODS] + [(ON_POLICY, name, square) for name in on_policy]
    shards.expect(len(arms))
    found, rows, failures = {}, [], {}
    for sampler, name, problems in arms:
        compute = partial(tuned, config.budget, name, sampler, *problems.T, config.seed)
        data = shards.get(f"{name}, {sampler}", (0, config.budget.num_seeds), compute)
        failures[f"{name}, {sampler}: not finite"] = int(data["failed"].sum())
        for place, (peak, width) in enumerate(problems.tolist()):
            found[sampler, name, peak, width] = data["reward"][place]
            rows += _results(config, sampler, name, peak, width, {key: data[key][place] for key in data})
    for peak, width in plane.tolist():
        rows += [_margin(found, (OFFLINE, first), (OFFLINE, second), peak, width) for first, second in RIVALS]
        for name, num_draws in CEILINGS.items():
            ceiling = float(best_of_n(problem(peak, width), num_draws))
            rows.append(_row("ceiling", peak, width, first=name, reward=ceiling))
    for name in CROSSING:
        for width in config.widths:
            along = [_margin(found, (OFFLINE, name), (OFFLINE, "rwr"), peak, width) for peak in config.peaks]
            rows += [
                _row("crossing", p, width, first=name, second="rwr", low=a, high=b) for p, a, b in crossings(along)
            ]
    for peak, width in square.tolist():
        for negative, likelihood in SQUARE:
            for other in ((OFFLINE, negative), (ON_POLICY, likelihood)):
                rows.append(_margin(found, (ON_POLICY, negative), other, peak, width))
            rows.append(_margin(found, (ON_POLICY, likelihood), (OFFLINE, likelihood), peak, width))
    return Table.from_rows(rows, meta={"failures": failures})


def _row(part: str, peak: float, width: float, **columns: str | float) -> dict[str, Any]:
    blank = {"first": "none", "sampler": OFFLINE, "second": "none", "second_sampler": OFFLINE}
    numbers = dict.fromkeys(
        ("learning_rate", "value", "reward", "reward_se", "low", "median", "high", "start", "failed", "steps"), 0.0
    )
    return {"part": part, "peak": peak, "width": width} | blank | numbers | columns


def _results(config: Config, sampler: str, name: str, peak: float, width: float, data: Mapping[str, np.ndarray]):
    """Rows of a tuned method at every record, and of the grid that tuned it."""
    arm = {"first": name, "sampler": sampler}
    chosen = {key: float(data[key]) for key in ("learning_rate", "value")} | {"failed": float(data["failed"])}
    rows = []
    for place, steps in enumerate(config.budget.record_at):
        values = data["reward"][:, place]
        levels = quantiles("reward", values)
        bands = {key: levels[f"reward_{key}"] for key in ("low", "median", "high")}
        numbers = mean("reward", values) | bands | {"steps": float(steps), "start": float(data["reward"][0, 0])}
        rows.append(_row("result", peak, width, **arm, **chosen, **numbers))
    grid = [(rate, value) for rate in config.learning_rates for value in METHODS[name].values]
    for (rate, value), score in zip(grid, data["score"], strict=True):
        rows.append(_row("grid", peak, width, **arm, learning_rate=rate, value=value, reward=float(score)))
    return rows


def _margin(found: Mapping, first: tuple[str, str], second: tuple[str, str], peak: float, width: float):
    """How much more the first reaches at the end; seeds are shared, so differences are paired."""
    difference = found[(*first, peak, width)][:, -1] - found[(*second, peak, width)][:, -1]
    names = {"sampler": first[0], "first": first[1], "second_sampler": second[0], "second": second[1]}
    return _row("margin", peak, width, **names, **mean("reward", difference))


EXPERIMENT = Experiment(
    name="negative_gradient",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(peaks=(20.0, 70.0), widths=(10.0,), num_steps=20, tuning_seeds=2, tuning_calls=1),
        "default": Config(),
        "paper": Config(peaks=tuple(np.arange(5.0, 96.0, 2.5).tolist()), tuning_seeds=36),
    },
    run=run,
    check=check,
    plot=plot,
)
