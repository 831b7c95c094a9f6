"""Likelihood displacement: log-likelihoods of chosen and rejected along offline DPO, IPO and Pref-FT."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.claims.statistics import mean, quantiles
from banditlab.didactic.settings import Settings
from banditlab.store import Shards, Table
from experiments.didactic.likelihood_displacement import runs, steps
from experiments.didactic.likelihood_displacement.checks import check
from experiments.didactic.likelihood_displacement.figure import plot
from experiments.didactic.likelihood_displacement.steps import ALGORITHMS, NEGATIVE, SIDES

CLAIM = (
    "A step on one pair raises log pi(chosen) by c (1 - pi_w + pi_l) and moves all other actions by -c (pi_w - pi_l): "
    "with a single winner and small steps the chosen never fall under DPO and IPO; with many pairs they rise, and end "
    "below the start once pi's mass on net winners exceeds their share of wins; under maximum likelihood of winners "
    "never. Where the rate earns most the chosen fall further, and the reward grows all the same."
)


@dataclass(frozen=True)
class Config:
    """Prompts and samples of a data set; one temperature and target; records at powers of two.

    Paths are run at a small rate, so that they are the losses' own, and at the best of `rates` (the grid of
    on_policyness) on tuning_seeds other data sets. As many runs tune as measure, up to a block: one program.
    """

    cells: tuple[tuple[int, int], ...] = ((1, 2), (100, 2), (1, 10), (10, 10))
    peak: float = 70.0
    num_steps: int = 256
    small_rate: float = 0.03
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    beta: float = 0.1
    ipo_target: float = 10.0
    num_seeds: int = 128
    tuning_seeds: int = 25
    num_random: int = 256
    step_sizes: tuple[float, ...] = (0.5, 0.02, 0.01)
    seed: int = 0

    @property
    def record_at(self) -> tuple[int, ...]:
        """0 and the powers of two."""
        return (0, *(2**k for k in range(self.num_steps.bit_length())))


def run(config: Config, shards: Shards) -> Table:
    """Rows: single steps from random policies; every algorithm on every kind of data set at every record."""
    shards.expect(len(ALGORITHMS) * len(config.cells))
    rows = _single_steps(config)
    failures = {"not finite": 0, "data sets without a pair": 0, "best learning rate at an end of the grid": 0}
    for algorithm in ALGORITHMS:
        for cell in config.cells:
            name = f"{algorithm}, {cell[0]} prompts of {cell[1]}"
            data = shards.get(name, (0, config.num_seeds), partial(runs.train, config, algorithm, *cell))
            failures["not finite"] += int(data["failed"])
            failures["data sets without a pair"] += int((data["pairs"] == 0).sum()) if algorithm == "dpo" else 0
            at_end = data["rate"] in (config.rates[0], config.rates[-1])
            failures["best learning rate at an end of the grid"] += int(at_end)
            rows += _path(config, algorithm, cell, data)
    return Table.from_rows(rows, meta={"failures": failures})


def _row(part: str, algorithm: str, x: float, **columns: float) -> dict:
    names = (
        "prompts",
        "samples",
        "rate",
        "value",
        "value_se",
        "low",
        "median",
        "high",
        "predicted",
        "bound",
        "kept",
        "worst",
    )
    return (
        {"part": part, "algorithm": algorithm, "quantity": "none", "x": float(x)} | dict.fromkeys(names, 0.0) | columns
    )


def _single_steps(config: Config) -> list[dict]:
    """Largest errors of the exact and of the first-order change, over random policies and pairs."""
    tables = steps.random_tables(config.seed, config.num_random, 12)
    log_policy = tables["logits"] - np.logaddexp.reduce(tables["logits"], axis=1, keepdims=True)
    place = np.arange(config.num_random)
    winner, loser = (log_policy[place, tables[side]] for side in ("winner", "loser"))
    reference = [tables["log_reference"][place, tables[side]] for side in ("winner", "loser")]
    ratio = winner - loser - (reference[0] - reference[1])
    settings = Settings(beta=config.beta, ipo_target=config.ipo_target)
    rows = []
    for algorithm in NEGATIVE:
        for step_size in config.step_sizes:
            size = step_size * (10.0 if algorithm == "dpo" else 0.1)  # both pulls about one at the largest step
            pull = size * steps.pair_pull(algorithm, ratio, config.beta, config.ipo_target)
            moves = steps.pair_move(pull, np.exp(winner), np.exp(loser))
            measured = steps.gradient_steps(algorithm, tables, settings, size)
            for side in SIDES:
                move, change = moves[side], measured[side]
                error = np.abs(change - move["exact"])
                numbers = {"worst": error.max(), "bound": (np.abs(change - move["first_order"]) / move["bound"]).max()}
                means = {"value": np.abs(change).mean(), "predicted": np.abs(move["exact"]).mean()}
                first = float((np.sign(move["first_order"]) * change).mean())
                numbers |= means | {"low": first, "high": float(np.abs(move["first_order"]).mean())}
                rows.append(_row("step", algorithm, size, **numbers) | {"quantity": side})
    return rows


def _path(config: Config, algorithm: str, cell: tuple[int, int], data: dict[str, np.ndarray]) -> list[dict]:
    """Rows of a cell: the path, its start and first step against the closed forms, and counts of falls."""
    kept = data["pairs"] > 0
    shared = {"prompts": float(cell[0]), "samples": float(cell[1]), "kept": float(kept.sum())}
    rows = _tuned(config, algorithm, shared, data, kept)
    shared |= {"rate": config.small_rate}
    data = {name: values[kept] for name, values in data.items() if np.shape(values)[:1] == kept.shape}
    for place, step in enumerate(config.record_at):
        changes = {side: data[side][:, place] - data[side][:, 0] for side in ("chosen", "rejected")}
        changes |= {"margin": changes["chosen"] - changes["rejected"]}
        changes |= {
            name: data[name][:, place] for name in ("reward", "unseen_mass", "net_mass", "net_share", "sign_path")
        }
        for quantity, values in changes.items():
            levels = quantiles("value", values)
            bands = {level: levels[f"value_{level}"] for level in ("low", "median", "high")}
            numbers = mean("value", values) | bands | {"worst": float((values < -1e-12).mean())}
            rows.append(_row("path", algorithm, step, **shared, **numbers) | {"quantity": quantity})
    chosen = data["chosen"]
    error = np.abs(chosen[:, 0] - data["start"]).max()
    numbers = {"value": chosen[:, 0].mean(), "predicted": data["start"].mean(), "worst": error}
    rows.append(_row("closed", algorithm, 0, **shared, **numbers) | {"quantity": "start"})
    moved, predicted = chosen[:, 1] - chosen[:, 0], data["first_exact"] - data["start"]
    # Where an action's pulls cancel, their rounding (16 units of the last place) is divided by Adam's 1e-8.
    bound = 2 * config.small_rate * 16 * 2.0**-53 * runs.pull_scale(config, algorithm) / steps.EPSILON + 1e-13
    numbers = {"value": moved.mean(), "predicted": predicted.mean(), "worst": np.abs(moved - predicted).max()}
    rows.append(_row("closed", algorithm, 1, **shared, **numbers, bound=bound) | {"quantity": "first step"})
    remainder = np.abs(chosen[:, 1] - data["first_order"]).max() / (config.small_rate**2 / 2)
    rows.append(_row("closed", algorithm, 1, **shared, worst=remainder) | {"quantity": "first order"})
    excess = (chosen - data["entropy_bound"][:, None]).max()
    numbers = {"value": chosen[:, -1].mean(), "predicted": data["entropy_bound"].mean(), "worst": excess}
    rows.append(_row("closed", algorithm, config.num_steps, **shared, **numbers) | {"quantity": "entropy"})
    one = np.asarray(data["num_winners"] == 1)
    falls = (np.diff(chosen, axis=1) < -1e-12).any(axis=1)
    numbers = {"value": float(np.sum(falls & one)), "kept": float(one.sum())}
    rows.append(_row("closed", algorithm, 1, **(shared | numbers)) | {"quantity": "one winner falls"})
    if algorithm in NEGATIVE:
        for count, change in zip(data["num_winners"], chosen[:, -1] - chosen[:, 0], strict=True):
            rows.append(_row("seed", algorithm, count, **shared, value=change))
    if cell == (1, 2) and algorithm in NEGATIVE:
        rows += _single_pair(algorithm, shared, data)
    return rows


def _tuned(config: Config, algorithm: str, shared: dict, data: dict[str, np.ndarray], kept: np.ndarray) -> list[dict]:
    """Rows "tuning", what held-out data sets end with at every rate; rows "tuned", paths at the best."""
    rows = []
    for place, rate in enumerate(config.rates):
        for quantity in ("reward", "chosen"):
            values = data[f"held_out_{quantity}"][place]
            numbers = mean("value", values) | {"rate": rate}
            rows.append(_row("tuning", algorithm, rate, **shared, **numbers) | {"quantity": quantity})
    for place, step in enumerate(config.record_at):
        for quantity in ("chosen", "rejected", "reward"):
            values = data[f"best_{quantity}"][kept]
            change = values[:, place] - values[:, 0]
            numbers = mean("value", change) | {"rate": float(data["rate"])}
            if algorithm == "pref_ft":  # elsewhere large rates make the count one of roundings
                numbers["worst"] = float((change < -1e-12).mean())
            rows.append(_row("tuned", algorithm, step, **shared, **numbers) | {"quantity": quantity})
    return rows


def _single_pair(algorithm: str, shared: dict, data: dict[str, np.ndarray]) -> list[dict]:
    """With one pair the margin's change 2 s fixes both: Adam treats the two logits alike, so they move by s and -s."""
    half = (data["chosen"] - data["rejected"] - data["gap"][:, None]) / 2
    winner, loser = data["single"].T[:, :, None]
    predicted = data["start"][:, None] + steps.pair_move(half, winner, loser)["chosen"]["exact"]
    error = np.abs(predicted - data["chosen"]).max()
    numbers = {"value": data["chosen"][:, -1].mean(), "predicted": predicted[:, -1].mean(), "worst": error}
    return [_row("closed", algorithm, 1, **shared, **numbers) | {"quantity": "single pair"}]


EXPERIMENT = Experiment(
    name="likelihood_displacement",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(cells=((1, 2), (100, 2)), num_seeds=32, num_random=32),
        "default": Config(),
        "paper": Config(
            num_seeds=2048, cells=((1, 2), (8, 2), (32, 2), (128, 2), (1, 10), (8, 10), (32, 10), (128, 10))
        ),
    },
    run=run,
    check=check,
    plot=plot,
)
