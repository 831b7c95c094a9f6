"""HyPO against DPO on one fixed set of pairs: KL and gap at one rate, at matched KL, and at tuned penalties."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "On one fixed set HyPO's penalty lowers KL(pi||pi_ref); at a rate at which DPO overfits it lowers the gap, and so "
    "does stopping DPO at that KL. With everything tuned HyPO has the smaller KL and the smaller win rate."
)
MEASURED = ("gap", "kl_target", "kl_reference", "win_rate")


@dataclass(frozen=True)
class Config:
    """Passes over one set of pairs; penalty 0 is DPO. At each step k = num_samples draws for num_prompts prompts.

    Every penalty gets the same rates; a penalty's rate, and the penalty, are chosen on held-out seeds.
    """

    setup: Setup = field(default_factory=Setup)
    num_pairs: int = 1024
    batch_size: int = 64
    num_epochs: int = 8
    penalties: tuple[float, ...] = (0.0, 0.1, 1.0)
    num_samples: int = 2
    num_prompts: int = 16
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    num_seeds: int = 5
    tuning_seeds: int = 2


def cell(config: Config, penalty: float, rate: float) -> Cell:
    """Runs of one penalty at one rate."""
    draws = (("penalty", penalty), ("num_samples", config.num_samples), ("num_prompts", config.num_prompts))
    method, options = ("hypo", draws) if penalty else ("offline_dpo", (("fresh", False),))
    return Cell(config.setup, method, options, config.num_pairs, 1, config.batch_size, config.num_epochs, rate)


def run(config: Config, shards: Shards) -> Table:
    """A row per penalty, rate and epoch, epoch 0 being the reference."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    tried = data["tried"].mean(axis=-1)  # penalties, rates
    best = np.unravel_index(tried[1:].argmin(), tried[1:].shape)
    rows = []
    for i, penalty in enumerate(config.penalties):
        for k, rate in enumerate(config.rates):
            own = {name: data[name][i, k] for name in MEASURED}
            other = {name: data[name][0, k] for name in MEASURED}
            tuned = {name: data[name][0, tried[0].argmin()] for name in MEASURED}
            matched = {name: _along(other["kl_reference"], other[name], own["kl_reference"]) for name in MEASURED}
            for epoch in range(config.num_epochs + 1):
                row = {"penalty": penalty, "rate": rate, "epoch": epoch, "seeds": config.num_seeds}
                row |= {"num_pairs": config.num_pairs, "chosen_rate": int(tried[i].argmin() == k)}
                row["chosen"] = int((i, k) == (best[0] + 1, best[1]))
                row |= statistics.mean("held_out", data["tried"][i, k])
                for name in MEASURED:
                    row |= statistics.mean(name, own[name][:, epoch])
                    row |= statistics.mean(f"{name}_over", own[name][:, epoch] - other[name][:, epoch])
                    row |= statistics.mean(f"{name}_over_tuned", own[name][:, epoch] - tuned[name][:, epoch])
                stopping = np.round(matched["gap"] - other["gap"], 12)[:, epoch] + 0.0
                row |= statistics.mean("stopped_over_dpo", stopping)
                for name in ("gap", "win_rate"):
                    over = np.round(own[name][:, epoch] - matched[name][:, epoch], 12) + 0.0
                    row |= statistics.mean(f"{name}_over_matched", over)
                rows.append(row)
    ends = (config.rates[0], config.rates[-1])
    edges = sum(row["chosen_rate"] for row in rows if not row["epoch"] and row["rate"] in ends)
    return Table.from_rows(rows, {"failures": {"best learning rate at an end of the grid": edges}})


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """MEASURED, (penalties, rates, seeds, epochs + 1), the reference first; "tried", last gaps of held-out seeds."""
    bench = Bench(shards)
    listed = [cell(config, penalty, rate) for penalty in config.penalties for rate in config.rates]
    found = bench.histories(listed, config.num_seeds)
    evaluators = [bench.lab(config.setup).of(seed)[1] for seed in range(config.num_seeds)]
    shape = (len(config.penalties), len(config.rates))
    data = {}
    for name in MEASURED:
        own = np.stack([history[name] for history in found])
        start = np.broadcast_to(curves.reference_metric(evaluators, name)[:, None], (*own.shape[:2], 1))
        data[name] = np.concatenate([start, own], axis=-1).reshape(*shape, config.num_seeds, -1)
    return data | {"tried": bench.held_out(listed, config.tuning_seeds).reshape(*shape, -1)}


def _along(kl: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Seed by seed (seeds, K): DPO's value where its path has the KL `at`, by straight lines between its epochs."""

    def read(at: np.ndarray, kl: np.ndarray, values: np.ndarray) -> np.ndarray:
        # A path may turn back a little: it is read at the first time that it reaches each divergence.
        rising, first = np.unique(np.maximum.accumulate(kl), return_index=True)
        return np.interp(at, rising, values[first])

    return np.stack([read(*arguments) for arguments in zip(at, kl, values, strict=True)])


def check(table: Table) -> list[Check]:
    """KL and gap at the largest rate, where DPO overfits; then at matched KL; then with everything tuned."""
    last = table.where(epoch=table["epoch"].max())
    fast = last.where(rate=last["rate"].max())
    middle = np.unique(table["penalty"])[-2]
    checks = []
    for penalty in np.unique(table["penalty"])[-2:]:
        row = fast.where(penalty=penalty)
        words = f"rate {row['rate'][0]:g}, penalty {penalty:g}: HyPO less DPO, "
        checks.append(curves.less(words + "KL(pi||pi_ref)", row, "kl_reference_over"))
        checks.append(curves.less(words + "gap", row, "gap_over"))
    row, tuned = fast.where(penalty=middle), last.where(chosen=1)
    words = f"rate {row['rate'][0]:g}, penalty {middle:g}: "
    return [
        *checks,
        curves.less(words + "DPO stopped at HyPO's KL less DPO, gap", row, "stopped_over_dpo"),
        curves.less("rates and penalty tuned: HyPO less DPO, KL(pi||pi_ref)", tuned, "kl_reference_over_tuned"),
        curves.less("rates and penalty tuned: HyPO less DPO, win rate", tuned, "win_rate_over_tuned"),
    ]


def plot(table: Table) -> "Figure":
    """Paths in the plane of KL and gap, a panel per rate, and win rate against KL."""
    rates = np.unique(table["rate"])
    made, axes = plotting.figure(2, len(rates), height=3.5, sharey="row")
    penalties = np.unique(table["penalty"])
    shades = plotting.shades("hypo", len(penalties) - 1)
    for column, rate in zip(axes.T, rates, strict=True):
        for place, penalty in enumerate(penalties):
            one = table.where(rate=rate, penalty=penalty)
            key = "hypo" if penalty else "dpo"
            look = {"marker": plotting.MARKERS[key], "color": shades[place - 1] if penalty else plotting.COLORS[key]}
            look["label"] = rf"HyPO, $\lambda$ = {penalty:g}" if penalty else "DPO"
            for ax, name in zip(column, ("gap", "win_rate"), strict=True):
                ax.plot(one["kl_reference"], one[name], linewidth=1.2, **look)
                end = one.where(epoch=one["epoch"].max())
                error = {"xerr": end["kl_reference_se"], "yerr": end[f"{name}_se"]}
                ax.errorbar(end["kl_reference"], end[name], **error, color=look["color"], linewidth=0.8)
        column[0].set_title(f"rate {rate:g}")
        column[1].set_xlabel(r"KL$(\pi\|\pi_{ref})$")
    axes[0, 0].set_ylabel(r"gap $J^* - J(\pi)$")
    axes[1, 0].set_ylabel("win rate")
    plotting.legend(made)
    chosen, dpo = table.where(chosen=1, epoch=0), table.where(penalty=0.0, chosen_rate=1, epoch=0)
    plotting.caption(
        made,
        f"One set of {table['num_pairs'][0]} pairs from the reference, {table['epoch'].max()} epochs, a marker each; "
        f"mean of {table['seeds'][0]} seeds, bars a standard error at the end. Best on held-out seeds: HyPO with "
        f"penalty {chosen['penalty'][0]:g} at rate {chosen['rate'][0]:g}, DPO at rate {dpo['rate'][0]:g}.",
    )
    return made


EXPERIMENT = Experiment(
    name="llm_hypo",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, 64, 32, 2, (0.0, 0.1, 1.0), num_prompts=8, rates=(3e-3, 1e-2), num_seeds=3),
        "default": Config(),
        "paper": Config(
            references.FRESH,
            num_pairs=2048,
            batch_size=128,
            num_epochs=16,
            penalties=(0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
            num_prompts=32,
            rates=(1e-3, 3e-3, 1e-2),
            tuning_seeds=5,
        ),
    },
    run=run,
    check=check,
    plot=plot,
)
