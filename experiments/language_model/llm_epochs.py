"""Offline DPO over epochs: one fixed set passed again and again, against fresh pairs from the reference."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, upper
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import LABELS, REFERENCE, behind, curve, look_of
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

CLAIM = (
    "One fixed set passed again and again lowers the gap at first, at a small rate; at a large one it ends above that "
    "of the reference while KL(pi||pi_ref) keeps growing; fresh offline pairs at the same steps end below."
)
OFFLINE, FIXED = "offline", "fixed"
ARMS = {OFFLINE: (), FIXED: (("fresh", False),)}
MEASURED = ("gap", "kl_target", "kl_reference", "win_rate", "expected_reward")


@dataclass(frozen=True)
class Config:
    """A set of num_pairs, passed num_epochs times; the fresh arm buys as many new pairs for every pass."""

    setup: Setup = field(default_factory=Setup)
    num_pairs: int = 1024
    batch_size: int = 64
    num_epochs: int = 16
    rates: tuple[float, ...] = (1e-3, 3e-3)
    num_seeds: int = 5


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts "reference", which all runs start from; "epochs", a row per rate, arm and epoch."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    seeds, rows = {"seeds": config.num_seeds}, []
    for i, rate in enumerate(config.rates):
        for j, arm in enumerate(ARMS):
            found = {name: data[name][i, j] for name in MEASURED}
            gap, drift = found["gap"], found["kl_reference"]
            found["gap_over_reference"] = gap - gap[:, :1]
            found["kl_over_first"] = drift - drift[:, 1:2]
            found["kl_over_previous"] = np.diff(drift, prepend=drift[:, :1])
            run_of = {"learning_rate": rate, "arm": arm, "num_pairs": config.num_pairs}
            rows += curves.steps(run_of | seeds, "epoch", found)
    start = seeds | curves.means({name: data[name][0, 0, :, 0] for name in MEASURED})
    return {"reference": Table.from_rows([start]), "epochs": Table.from_rows(rows)}


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """MEASURED, (rates, arms, seeds, epochs + 1), the reference first."""
    sizes = (config.num_pairs, 1, config.batch_size, config.num_epochs)
    points = [(rate, options) for rate in config.rates for options in ARMS.values()]
    cells = [Cell(config.setup, "offline_dpo", options, *sizes, rate) for rate, options in points]
    found = curves.paths(Bench(shards), cells, config.num_seeds, MEASURED)
    shape = (len(config.rates), len(ARMS))
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in found.items()}


def check(parts: curves.Parts) -> list[Check]:
    """The fixed set helps for an epoch at the smallest rate; at the largest it passes the reference and drifts on."""
    table = parts["epochs"]
    slow, fast = (table.where(learning_rate=find(table["learning_rate"])) for find in (np.min, np.max))
    first, last = slow.where(arm=FIXED, epoch=1), fast.where(epoch=table["epoch"].max())
    fixed, fresh = (last.where(arm=arm) for arm in (FIXED, OFFLINE))
    words = f"rate {last['learning_rate'][0]:g}, {last['epoch'][0]} epochs"
    early = f"rate {first['learning_rate'][0]:g}, 1 epoch"
    path = fast.where(arm=FIXED)
    # The mean of five seeds may dip by chance, as at the paper preset.
    fall = float((-path["kl_over_previous"] / path["kl_over_previous_se"]).max())
    return [
        curves.less(f"{early}: gap less that of the reference", first, "gap_over_reference"),
        curves.more(f"{words}, fixed set: gap less that of the reference", fixed, "gap_over_reference"),
        curves.less(f"{words}, fresh pairs: gap less that of the reference", fresh, "gap_over_reference"),
        curves.more(f"{words}, fixed set: KL(pi||pi_ref) less that after one epoch", fixed, "kl_over_first"),
        upper("fixed set: largest fall of KL(pi||pi_ref) in an epoch, in its own standard errors", 4.0, fall),
    ]


def plot(parts: curves.Parts):
    """Gap and KL to the reference over epochs, a column per rate."""
    start, table = parts["reference"], parts["epochs"]
    rates = np.unique(table["learning_rate"])
    made, axes = plotting.figure(
        2, len(rates), width=plotting.PAGE_WIDTH, height=3.8, sharex=True, sharey="row", squeeze=False
    )
    every = max(1, int(table["epoch"].max()) // 8)  # so many markers that they do not touch
    looks = {
        OFFLINE: look_of("offline", "fresh pairs"),
        FIXED: look_of("offline", "one set", plotting.shades("offline", 3)[1]),
    }
    for column, rate in zip(axes.T, rates, strict=True):
        for ax, name in zip(column, ("gap", "kl_reference"), strict=True):
            for arm, look in looks.items():
                one = table.where(arm=arm, learning_rate=rate)
                curve(ax, one["epoch"], one, name, look | {"markevery": every, "errorevery": every}, start)
            ax.axhline(start[name][0], **REFERENCE)
        column[0].set_title(_title(table, rate))
        column[1].set_xlabel("epochs")
    for ax, name in zip(axes[:, 0], ("gap", "kl_reference"), strict=True):
        ax.set_ylabel(LABELS[name])
    plotting.legend(made, columns=3)
    plotting.caption(
        made,
        f"DPO of a small decoder, habit-target task, on {table['num_pairs'][0]:,} pairs from the reference, the same "
        f"in every epoch or new ones: means of {table['seeds'][0]} seeds. {plotting.BARS}",
    )
    return made


def _title(table: Table, rate: float) -> str:
    """Where one set ends at this rate, by four standard errors: behind fresh pairs, or even behind the reference."""
    last = table.where(learning_rate=rate, epoch=table["epoch"].max())
    fixed, fresh = (last.where(arm=arm) for arm in (FIXED, OFFLINE))
    words = "ends behind fresh pairs" if behind(fixed, fresh, "gap") else ""
    if fixed["gap_over_reference"][0] > plotting.NUM_ERRORS * fixed["gap_over_reference_se"][0]:
        words = r"leaves a larger gap than $\pi_{\mathrm{ref}}$"
    return f"Learning rate {rate:g}:\none set {words}" if words else f"Learning rate {rate:g}"


EPOCHS = {
    "learning_rate": "learning rate of Adam",
    "epoch": "passes done, over as many pairs each [epochs]",
    "num_pairs": "pairs of the fixed set, and new pairs of every epoch of the offline arm [labels]",
    "gap_over_reference": "gap less that of the seed's reference [reward]",
    "kl_over_first": "kl_reference less that after one epoch, seed by seed [nats]",
    "kl_over_previous": "kl_reference less that an epoch earlier, seed by seed [nats]",
}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, 64, 32, 3, (3e-3, 1e-2), 3),
        "default": Config(num_epochs=12),
        "paper": Config(references.FRESH, num_pairs=2048, batch_size=128, num_epochs=32, rates=(1e-3, 3e-3, 1e-2)),
    },
    run=run,
    check=check,
    plot=plot,
    columns={"reference": curves.meanings(MEASURED, curves.AT_REFERENCE), "epochs": curves.meanings(MEASURED) | EPOCHS},
)
