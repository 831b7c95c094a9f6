"""The figure of `likelihood_displacement`: both likelihoods along DPO, and what each algorithm's rate does to them."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDES = {"chosen": ("on_policy", "chosen"), "rejected": ("uniform", "rejected")}


def plot(table: Table) -> "Figure":
    """A panel per kind of data set under DPO; below, every algorithm's end against the learning rate."""
    paths = table.where(part="path")
    cells = sorted(set(zip(paths["prompts"].tolist(), paths["samples"].tolist(), strict=True)))
    cells = [cells[0], cells[-1]] if len(cells) < 4 else [cells[0], cells[1], *cells[-2:]]
    made, axes = plotting.figure(3, 2, height=5.6, gridspec_kw={"height_ratios": (1, 1, 1)}, squeeze=False)
    for ax, cell in zip(axes[:2].flat, cells, strict=False):
        rows = paths.where(algorithm="dpo", prompts=cell[0], samples=cell[1])
        for side, (key, label) in _SIDES.items():
            mine = rows.where(quantity=side)
            kept = mine["x"] > 0
            levels = np.stack([mine["low"], mine["value"], mine["high"]])[:, kept]
            plotting.band(ax, mine["x"][kept], levels, key, label=label)
        sign = rows.where(quantity="sign_path")
        plotting.theory(ax, sign["x"][sign["x"] > 0], sign["value"][sign["x"] > 0], "on_policy")
        ax.axhline(0.0, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", ylim=(-6.5, 5), title=f"DPO, {cell[0]:g} x {cell[1]:g}", xlabel="step")
    for ax in axes[:2, 0]:
        ax.set_ylabel(r"change of $\log\,\pi$")
    _draw_rates(axes[2], table, cells)
    plotting.legend(made, columns=3, theory_label="sign descent, chosen")
    plotting.caption(
        made,
        "Tabular softmax, R1, Adam, full batches of all pairs of prompts x samples. Top: DPO at a rate of "
        f"{paths['rate'].max():g}, mean over the data's winners and losers, mean of {paths['kept'].max():.0f} data "
        "sets, 10-90% band. Dashed: closed form, every step rate times sign(wins - losses). Bottom: many prompts, what "
        f"{table.where(part='path')['x'].max():.0f} steps end with at every rate, held-out data sets, four standard "
        "errors; large: the best rate. Grey: no change; the reference's reward.",
    )
    return made


def _draw_rates(axes, table: Table, cells) -> None:
    """What training ends with against the learning rate; the tuned one is large."""
    prompts, samples = max(cells, key=lambda cell: (cell[1], cell[0]))
    rows = table.where(prompts=prompts, samples=samples)
    tuning, paths = rows.where(part="tuning"), rows.where(part="path")
    for ax, quantity in zip(axes, ("chosen", "reward"), strict=True):
        for name in ("dpo", "ipo", "pref_ft"):
            key, label = LOOKS[name]
            one = tuning.where(algorithm=name, quantity=quantity)
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "label": label}
            ax.errorbar(one["x"], one["value"], 4 * one["value_se"], linewidth=1.1, elinewidth=0.6, **look)
            best = one.where(x=rows.where(part="tuned", algorithm=name)["rate"][0])
            ax.plot(best["x"], best["value"], color=look["color"], marker=look["marker"], markersize=7)
        start = 0.0 if quantity == "chosen" else paths.where(quantity="reward", x=0.0)["value"][0]
        ax.axhline(start, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", xlabel="learning rate")
    axes[0].set_yscale("symlog", linthresh=1.0)
    axes[0].set(ylabel=r"change of $\log\,\pi$", title=f"chosen, {prompts:g} x {samples:g}")
    axes[1].set(ylabel=r"$E_\pi R$", title=f"reward, {prompts:g} x {samples:g}", ylim=(0, None))
