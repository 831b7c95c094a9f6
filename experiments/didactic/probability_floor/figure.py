"""The figure of `probability_floor`: rejected actions stop at the floor, the share below it, and what that earns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact.clamped_losses import ALGORITHMS, LOW
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHORT = {"best_of_n": "Best-of-N", "best_of_n_negative": "neg.", "best_of_n_worst": "worst"}


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Paths of rejected log-probabilities and of rewards; below, shares of draws and sizes of gradients."""
    made, axes = plotting.figure(2, 2, height=4.2)
    paths, rejected = tables["path"].where(sampler="offline"), tables["rejected"]
    for name in ("dpo", "best_of_n_negative", "pref_ft"):
        for ax, rows, column in zip(axes.flat, (rejected, paths, paths), ("rejected", "reward", "below"), strict=False):
            _draw(ax, rows.where(algorithm=name), column, name)
        for floor in (0, 1):
            exact = rejected.where(algorithm=name, floor=floor)
            plotting.theory(axes[0, 0], exact["step"], exact["predicted"], LOOKS[name][0])
    axes[0, 0].axhline(LOW, color="#888888", linewidth=0.8, zorder=1)
    axes[0, 0].set(title="rejected", ylabel=r"$\log\,\pi$", xlabel="step")
    axes[0, 1].set(title="reward", ylabel=r"$E_\pi R$", xlabel="step")
    axes[1, 0].set(title="draws below the floor", ylabel="share", xlabel="step")
    _draw_gradients(axes[1, 1], tables["gradient"])
    plotting.legend(made, columns=2, theory_label="by hand")
    own = {name: values[0] for name, values in tables["effect"].where(sampler="on_policy").columns.items()}
    plotting.caption(
        made,
        f"Tabular softmax, reward with its peak at {own['peak']:g}, Adam at a rate of {own['learning_rate']:g}, one "
        f"data set of {own['states']} states with {own['draws']} reference draws, mean of {paths['seeds'].max():.0f} "
        "data sets. Open: log-probabilities clamped at log 2^-23 (grey line), as published code has them silently; "
        "filled: as they are. Dashed: Adam down gradients by hand. On-policy DPO: a draw is below the floor with "
        f"probability {own['largest_below']:.0e} at most. Bottom right: relative change of every loss's gradient at "
        "random policies with most actions below.",
    )
    return made


def _draw(ax: "Axes", rows: Table, column: str, name: str) -> None:
    key, label = LOOKS[name]
    for floor in (0, 1):
        mine = rows.where(floor=floor)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markersize": 2.8, "linewidth": 0.9}
        look |= {"markerfacecolor": "white" if floor else look["color"], "markeredgewidth": 0.7}
        ax.plot(mine["step"], mine[column], label=None if floor else label, **look)


def _draw_gradients(ax: "Axes", rows: Table) -> None:
    names = [name for name in ALGORITHMS if name in rows["algorithm"]]
    values = [rows.where(algorithm=name)["change"][0] for name in names]
    ax.barh(-np.arange(len(names)), values, color=[plotting.COLORS[LOOKS[name][0]] for name in names])
    ax.set_yticks(-np.arange(len(names)), [_SHORT.get(name, LOOKS[name][1]) for name in names])
    ax.set(title="gradients, change", xlabel="relative")
    ax.grid(visible=False, axis="y")
