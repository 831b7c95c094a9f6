"""The figure of `likelihood_displacement`: both likelihoods along DPO, and how far each algorithm's chosen move."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.method_looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDES = {"chosen": ("on_policy", "chosen"), "rejected": ("uniform", "rejected")}


def plot(table: Table) -> "Figure":
    """A panel per kind of data set under DPO; below, the end of every algorithm."""
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
    _draw_falls(axes[2], paths, cells)
    plotting.legend(made, columns=3, theory_label="sign descent, chosen")
    count = paths["kept"].max()
    plotting.caption(
        made,
        "Tabular softmax, R1, Adam at a rate of 0.03, full batches of all pairs of prompts x samples; mean over the "
        f"data's winners and losers, mean of {count:.0f} data sets, 10-90% band. Dashed: closed form, every step rate "
        "times sign(wins - losses). Bottom left: chosen under each algorithm. Bottom right: share of data sets whose "
        "chosen end below the start; Pref-FT: none. The learning rate is not tuned.",
    )
    return made


def _draw_falls(axes, paths: Table, cells) -> None:
    many = max(cells, key=lambda cell: (cell[1], cell[0]))
    end = paths.where(x=paths["x"].max(), quantity="chosen")
    for place, name in enumerate(("dpo", "ipo", "pref_ft")):
        key, label = LOOKS[name]
        rows = paths.where(algorithm=name, prompts=many[0], samples=many[1], quantity="chosen")
        kept = rows["x"] > 0
        levels = np.stack([rows["low"], rows["value"], rows["high"]])[:, kept]
        plotting.band(axes[0], rows["x"][kept], levels, key, label=label)
        shares = [end.where(algorithm=name, prompts=cell[0], samples=cell[1])["worst"][0] for cell in cells]
        x = np.arange(len(cells)) + 0.25 * (place - 1)
        axes[1].bar(x, shares, 0.23, color=plotting.COLORS[key])
    axes[0].axhline(0.0, color="#888888", linewidth=0.8, zorder=1)
    axes[0].set(xscale="log", xlabel="step", ylabel="chosen", title=f"all, {many[0]:g} x {many[1]:g}")
    axes[1].set_xticks(np.arange(len(cells)), [f"{p:g}\nx {n:g}" for p, n in cells])
    axes[1].set(ylim=(0, 1.03), title="share that falls", xlabel="prompts x samples")
    axes[1].grid(visible=False, axis="x")
