"""Offline DPO over epochs: one fixed set passed again and again, against fresh pairs from the reference."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check, upper
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def run(config: Config, shards: Shards) -> Table:
    """A row per rate, arm and epoch, epoch 0 being the reference."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    rows = []
    for i, rate in enumerate(config.rates):
        for j, arm in enumerate(ARMS):
            drift = data["kl_reference"][i, j]
            for epoch in range(config.num_epochs + 1):
                row = {"rate": rate, "arm": arm, "epoch": epoch, "num_pairs": config.num_pairs}
                row |= {"seeds": config.num_seeds}
                for name in MEASURED:
                    row |= statistics.mean(name, data[name][i, j, :, epoch])
                row |= statistics.mean("gap_over_start", data["gap"][i, j, :, epoch] - data["gap"][i, j, :, 0])
                row |= statistics.mean("kl_over_first", drift[:, epoch] - drift[:, 1])
                row |= statistics.mean("kl_over_previous", drift[:, epoch] - drift[:, max(epoch - 1, 0)])
                rows.append(row)
    return Table.from_rows(rows)


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """MEASURED, (rates, arms, seeds, epochs + 1), the reference first."""
    bench = Bench(shards)
    sizes = (config.num_pairs, 1, config.batch_size, config.num_epochs)
    listed = [
        Cell(config.setup, "offline_dpo", options, *sizes, rate) for rate in config.rates for options in ARMS.values()
    ]
    found = bench.histories(listed, config.num_seeds)
    evaluators = [bench.lab(config.setup).of(seed)[1] for seed in range(config.num_seeds)]
    data = {}
    for name in MEASURED:
        start = np.broadcast_to(curves.reference_metric(evaluators, name)[:, None], (len(found), config.num_seeds, 1))
        whole = np.concatenate([start, np.stack([history[name] for history in found])], axis=-1)
        data[name] = whole.reshape(len(config.rates), len(ARMS), config.num_seeds, -1)
    return data


def check(table: Table) -> list[Check]:
    """The fixed set helps for an epoch at the smallest rate; at the largest it passes the reference and drifts on."""
    slow = table.where(rate=table["rate"].min(), arm=FIXED, epoch=1)
    last = table.where(rate=table["rate"].max(), epoch=table["epoch"].max())
    fixed, fresh = (last.where(arm=arm) for arm in (FIXED, OFFLINE))
    words = f"rate {last['rate'][0]:g}, {last['epoch'][0]} epochs"
    path = table.where(rate=table["rate"].max(), arm=FIXED)
    # The mean of five seeds may dip by chance, as at the paper preset.
    fall = float((-path["kl_over_previous"][1:] / path["kl_over_previous_se"][1:]).max())
    return [
        curves.less(f"rate {slow['rate'][0]:g}, 1 epoch: gap less that of the reference", slow, "gap_over_start"),
        curves.more(f"{words}, fixed set: gap less that of the reference", fixed, "gap_over_start"),
        curves.less(f"{words}, fresh pairs: gap less that of the reference", fresh, "gap_over_start"),
        curves.more(f"{words}, fixed set: KL(pi||pi_ref) less that after one epoch", fixed, "kl_over_first"),
        upper("fixed set: largest fall of KL(pi||pi_ref) in an epoch, in its own standard errors", 4.0, fall),
    ]


def plot(table: Table) -> "Figure":
    """Gap and KL to the reference over epochs, a column per rate."""
    rates = np.unique(table["rate"])
    made, axes = plotting.figure(2, len(rates), height=3.5, sharex=True, sharey="row")
    looks = {OFFLINE: ("offline", "fresh pairs"), FIXED: ("uniform", "one set")}
    for column, rate in zip(axes.T, rates, strict=True):
        for ax, name in zip(column, ("gap", "kl_reference"), strict=True):
            for arm, (key, label) in looks.items():
                one = table.where(arm=arm, rate=rate)
                look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "label": label}
                ax.errorbar(one["epoch"], one[name], one[f"{name}_se"], linewidth=1.2, elinewidth=0.6, **look)
            ax.axhline(table.where(epoch=0)[name][0], color="#666666", linestyle=":", linewidth=0.9, label="reference")
        column[0].set_title(f"rate {rate:g}")
        column[1].set_xlabel("epoch")
    axes[0, 0].set_ylabel(r"gap $J^* - J(\pi)$")
    axes[1, 0].set_ylabel(r"KL$(\pi\|\pi_{ref})$")
    plotting.legend(made, columns=3)
    plotting.caption(
        made,
        f"DPO on {table['num_pairs'][0]} pairs from the reference, the same in every epoch or new ones. "
        f"Mean of {table['seeds'][0]} seeds, bars a standard error.",
    )
    return made


EXPERIMENT = Experiment(
    name="llm_epochs",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, 64, 32, 3, (3e-3, 1e-2), 3),
        "default": Config(num_epochs=12),
        "paper": Config(references.FRESH, num_pairs=2048, batch_size=128, num_epochs=32, rates=(1e-3, 3e-3, 1e-2)),
    },
    run=run,
    check=check,
    plot=plot,
)
