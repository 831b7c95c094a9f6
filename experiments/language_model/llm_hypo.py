"""HyPO against DPO on one fixed set of pairs: KL and gap at one rate, at matched KL, and at tuned penalties."""

import itertools
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import LABELS
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

CLAIM = (
    "On one fixed set HyPO's penalty lowers KL(pi||pi_ref); at a rate at which DPO overfits it lowers the gap, and so "
    "does stopping DPO at that KL. With everything tuned HyPO has the smaller KL and the smaller win rate."
)
MEASURED = ("gap", "kl_target", "kl_reference", "win_rate")
MATCHED = ("gap", "win_rate")


@dataclass(frozen=True)
class Config:
    """Passes over one set of pairs, a step with num_samples draws for num_prompts prompts; the first penalty is 0, DPO.

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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts "reference", which all runs start from; "rates", of every penalty; "epochs", with all differences."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    tried = data["tried"].mean(axis=-1)  # penalties, rates
    best = np.unravel_index(tried[1:].argmin(), tried[1:].shape)
    seeds = {"seeds": config.num_seeds}
    rates, rows = [], []
    for i, penalty in enumerate(config.penalties):
        for k, grid in enumerate(curves.rate_rows(config.rates, data["tried"][i])):
            rates.append({"penalty": penalty, **grid, "best_hypo": int((i, k) == (best[0] + 1, best[1]))})
            own, dpo, tuned = (
                {name: data[name][place] for name in MEASURED} for place in ((i, k), (0, k), (0, tried[0].argmin()))
            )
            matched = {name: _along(dpo["kl_reference"], dpo[name], own["kl_reference"]) for name in MATCHED}
            found = {}
            for name, values in own.items():
                found |= {name: values, f"{name}_over": values - dpo[name], f"{name}_over_tuned": values - tuned[name]}
            found["stopped_over_dpo"] = np.round(matched["gap"] - dpo["gap"], 12) + 0.0
            for name, values in matched.items():
                found[f"{name}_over_matched"] = np.round(own[name] - values, 12) + 0.0
            point = {"penalty": penalty, "learning_rate": grid["learning_rate"], "num_pairs": config.num_pairs}
            rows += curves.steps(point | seeds, "epoch", found)
    start = seeds | curves.means({name: data[name][0, 0, :, 0] for name in MEASURED})
    listed = {"reference": [start], "rates": rates, "epochs": rows}
    return {part: Table.from_rows(each) for part, each in listed.items()}


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """MEASURED, (penalties, rates, seeds, epochs + 1), the reference first; "tried", last gaps of held-out seeds."""
    bench = Bench(shards)
    cells = [cell(config, penalty, rate) for penalty in config.penalties for rate in config.rates]
    data = curves.paths(bench, cells, config.num_seeds, MEASURED)
    data |= {"tried": bench.held_out(cells, config.tuning_seeds)}
    shape = (len(config.penalties), len(config.rates))
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in data.items()}


def _along(kl: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Seed by seed (seeds, K): DPO's value where its path has the KL `at`, by straight lines between its epochs."""
    found = []
    for own_at, own_kl, own_values in zip(at, kl, values, strict=True):
        # A path may turn back a little: it is read at the first time that it reaches each divergence.
        rising, first = np.unique(np.maximum.accumulate(own_kl), return_index=True)
        found.append(np.interp(own_at, rising, own_values[first]))
    return np.stack(found)


def check(parts: curves.Parts) -> list[Check]:
    """KL and gap at the largest rate, where DPO overfits; then at matched KL; then with everything tuned."""
    table, best = parts["epochs"], parts["rates"].where(best_hypo=1)
    last = table.where(epoch=table["epoch"].max())
    fast = last.where(learning_rate=last["learning_rate"].max())
    words = f"rate {fast['learning_rate'][0]:g}, penalty {{:g}}: "
    checks = []
    for penalty in np.unique(table["penalty"])[-2:]:
        row, prefix = fast.where(penalty=penalty), f"{words.format(penalty)}HyPO less DPO, "
        checks.append(curves.less(f"{prefix}KL(pi||pi_ref)", row, "kl_reference_over"))
        checks.append(curves.less(f"{prefix}gap", row, "gap_over"))
    middle = np.unique(table["penalty"])[-2]
    claim = f"{words.format(middle)}DPO stopped at HyPO's KL less DPO, gap"
    tuned = last.where(penalty=best["penalty"][0], learning_rate=best["learning_rate"][0])
    return [
        *checks,
        curves.less(claim, fast.where(penalty=middle), "stopped_over_dpo"),
        curves.less("rates and penalty tuned: HyPO less DPO, KL(pi||pi_ref)", tuned, "kl_reference_over_tuned"),
        curves.less("rates and penalty tuned: HyPO less DPO, win rate", tuned, "win_rate_over_tuned"),
    ]


MARKERS = ">s^Dv<"


def plot(parts: curves.Parts):
    """Paths from the reference in the plane of KL and gap, a panel per rate, and win rate against KL."""
    start, table = parts["reference"], parts["epochs"]
    rates, penalties = np.unique(table["learning_rate"]), np.unique(table["penalty"])
    made, axes = plotting.figure(
        2, len(rates), width=plotting.PAGE_WIDTH, height=4.2, sharey="row", sharex="col", squeeze=False
    )
    shades = [plotting.COLORS["dpo"], *plotting.shades("hypo", len(penalties) - 1)]
    markers = [plotting.MARKERS["dpo"], *itertools.islice(itertools.cycle(MARKERS), len(penalties) - 1)]
    for column, rate in zip(axes.T, rates, strict=True):
        for penalty, color, marker in zip(penalties, shades, markers, strict=True):
            one = table.where(learning_rate=rate, penalty=penalty)
            end = one.where(epoch=one["epoch"].max())
            # The paths nearly coincide: a marker stands at the end of each alone.
            look = {"marker": marker, "markevery": [-1], "markersize": 4.5, "color": color}
            look |= {"label": rf"HyPO, $\lambda$ = {penalty:g}" if penalty else "DPO", "linewidth": 1.0}
            for ax, name in zip(column, MATCHED, strict=True):
                ax.plot(*(np.append(start[axis], one[axis]) for axis in ("kl_reference", name)), **look)
                xerr, yerr = (plotting.NUM_ERRORS * end[f"{axis}_se"] for axis in ("kl_reference", name))
                ax.errorbar(end["kl_reference"], end[name], yerr, xerr, color=color, linewidth=0.8)
        column[0].set_title(_title(table, rate))
        column[1].set_xlabel(LABELS["kl_reference"])
    for ax, name in zip(axes[:, 0], MATCHED, strict=True):
        ax.set_ylabel(LABELS[name])
    plotting.legend(made, columns=4)
    best, dpo = (parts["rates"].where(**chosen) for chosen in ({"best_hypo": 1}, {"penalty": 0.0, "chosen": 1}))
    plotting.caption(
        made,
        f"One set of {table['num_pairs'][0]:,} pairs from the reference: paths of {table['epoch'].max()} epochs from "
        f"$\\pi_{{\\mathrm{{ref}}}}$, means of {table['seeds'][0]} seeds, markers at the ends. {plotting.BARS} "
        f"Best on held-out seeds: HyPO with $\\lambda$ = {best['penalty'][0]:g} at learning rate "
        f"{best['learning_rate'][0]:g}, DPO at {dpo['learning_rate'][0]:g}.",
    )
    return made


def _title(table: Table, rate: float) -> str:
    """What the two largest penalties do to the last gap and KL of DPO at this rate, beyond four standard errors."""
    last = table.where(learning_rate=rate, epoch=table["epoch"].max())
    large = last.kept(last["penalty"] >= np.unique(last["penalty"])[-2])
    lower = [
        name
        for column, name in (("kl_reference_over", "KL"), ("gap_over", "gap"))
        if (large[column] < -plotting.NUM_ERRORS * large[f"{column}_se"]).all()
    ]
    return (
        f"Learning rate {rate:g}:\nlarge penalties lower {' and '.join(lower)}" if lower else f"Learning rate {rate:g}"
    )


EPOCHS = {
    "penalty": "weight of HyPO's penalty on KL(pi||pi_ref); 0 is DPO",
    "learning_rate": "learning rate of Adam",
    "epoch": "passes done over the fixed set [epochs]",
    "num_pairs": "pairs of the fixed set [labels]",
    "stopped_over_dpo": "gap of DPO at the same rate where its path has this row's kl_reference, less its gap [reward]",
}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, 64, 32, 2, (0.0, 0.1, 1.0), num_prompts=8, rates=(3e-3, 1e-2), num_seeds=3),
        "default": Config(),
        "paper": Config(
            references.FRESH, 2048, 128, 16, (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), num_prompts=32, tuning_seeds=5
        ),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "reference": curves.meanings(MEASURED, curves.AT_REFERENCE),
        "rates": curves.RATES
        | {
            "penalty": EPOCHS["penalty"],
            "best_hypo": "1 for the smallest held-out gap among positive penalties, else 0",
        },
        "epochs": curves.meanings(MEASURED)
        | curves.less_than("DPO at the same rate and epoch", MEASURED)
        | curves.less_than("DPO at its chosen rate, same epoch", MEASURED, "over_tuned")
        | curves.less_than("DPO where its path has the same kl_reference", MATCHED, "over_matched")
        | EPOCHS,
    },
)
