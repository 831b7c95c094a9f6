"""The figure of `likelihood_displacement`: both likelihoods along DPO, and what each algorithm's rate does to them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDES = {"chosen": ("on_policy", "chosen"), "rejected": ("uniform", "rejected")}


def plot(tables: Mapping[str, Table]) -> "Figure":
    """A panel per kind of data set under DPO; below, every algorithm's end against the learning rate."""
    paths = tables["path"]
    cells = sorted(set(zip(paths["prompts"].tolist(), paths["samples"].tolist(), strict=True)))
    cells = [cells[0], cells[-1]] if len(cells) < 4 else [cells[0], cells[1], *cells[-2:]]
    made, axes = plotting.figure(3, 2, height=5.6, gridspec_kw={"height_ratios": (1, 1, 1)}, squeeze=False)
    for ax, cell in zip(axes[:2].flat, cells, strict=False):
        rows = paths.where(algorithm="dpo", prompts=cell[0], samples=cell[1])
        rows = rows.kept(rows["step"] > 0)
        for side, (key, label) in _SIDES.items():
            levels = np.stack([rows[f"{side}{level}"] for level in ("_low", "", "_high")])
            plotting.band(ax, rows["step"], levels, key, label=label)
        plotting.theory(ax, rows["step"], rows["sign_path"], "on_policy")
        ax.axhline(0.0, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", ylim=(-6.5, 5), title=f"DPO, {cell[0]:g} x {cell[1]:g}", xlabel="step")
    for ax in axes[:2, 0]:
        ax.set_ylabel(r"change of $\log\,\pi$")
    _draw_rates(axes[2], tables, max(cells, key=lambda cell: (cell[1], cell[0])))
    plotting.legend(made, columns=3, theory_label="sign descent, chosen")
    plotting.caption(
        made,
        f"Tabular softmax, reward with its peak at {tables['closed']['peak'][0]:g}, Adam, full batches of all pairs of "
        f"prompts x samples. Top: DPO at a rate of {paths['rate'].max():g}, mean over the data's winners and losers, "
        f"mean of {paths['data_sets'].max():.0f} data sets, 10-90% band. Dashed: closed form, every step rate times "
        f"sign(wins - losses). Bottom: many prompts, what {paths['step'].max():.0f} steps end with at every rate, "
        "held-out data sets, four standard errors; large: the best rate. Grey: no change; the reference's reward.",
    )
    return made


def _draw_rates(axes, tables: Mapping[str, Table], cell: tuple[float, float]) -> None:
    """What training ends with against the learning rate; the tuned one is large."""
    tuning, tuned, paths = (
        tables[part].where(prompts=cell[0], samples=cell[1]) for part in ("tuning", "tuned", "path")
    )
    for ax, quantity in zip(axes, ("chosen", "reward"), strict=True):
        for name in ("dpo", "ipo", "pref_ft"):
            key, label = LOOKS[name]
            one = tuning.where(algorithm=name)
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key]}
            error = 4 * one[f"{quantity}_se"]
            ax.errorbar(one["rate"], one[quantity], error, linewidth=1.1, elinewidth=0.6, label=label, **look)
            best = one.where(rate=tuned.where(algorithm=name)["rate"][0])
            ax.plot(best["rate"], best[quantity], markersize=7, **look)
        start = 0.0 if quantity == "chosen" else paths.where(step=0.0)["reward"][0]
        ax.axhline(start, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", xlabel="learning rate", title=f"{quantity}, {cell[0]:g} x {cell[1]:g}")
    axes[0].set_yscale("symlog", linthresh=1.0)
    axes[0].set(ylabel=r"change of $\log\,\pi$")
    axes[1].set(ylabel=r"$E_\pi R$", ylim=(0, None))
