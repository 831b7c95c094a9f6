"""The figure of `probability_floor`: rejected actions stop at the floor, the share below it, and what that earns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact.clamped_losses import ALGORITHMS, LOW
from experiments.shared.bands import apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = ("dpo", "best_of_n_negative", "pref_ft")


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Paths of rejected log-probabilities and of rewards; below, shares of draws and sizes of gradients."""
    made, ((first, second), (third, fourth)) = plotting.figure(2, 2, width=plotting.PAGE_WIDTH, height=4.6)
    paths, rejected = tables["path"].where(sampler="offline"), tables["rejected"]
    same = set(_SHOWN)
    for name in _SHOWN:
        for ax, rows, column in ((first, rejected, "rejected"), (second, paths, "below"), (third, paths, "reward")):
            step = 2.2 if ax is third else 0.0  # the bars of rewards overlap
            if not _draw(ax, rows.where(algorithm=name), column, name, step):
                same.discard(name)
        for floor in (0, 1):
            exact = rejected.where(algorithm=name, floor=floor)
            plotting.theory(first, exact["step"], exact["predicted"], name)
    line = first.axhline(LOW, color="#4a4a4a", linewidth=0.9, linestyle=":", zorder=1)
    plotting.direct_label(line, "floor", place=0, offset=(2, -6))
    first.set(title="a  Rejected actions stop at the floor", ylabel=r"$\log\,\pi$(rejected) [nats]")
    second.set(title="b  Winners alone never get that low", ylabel="share of draws below")
    third.set(title="c  The floor changes what training earns", ylabel=r"reward $E_\pi R$")
    for ax in (first, second, third):
        ax.set_xlabel("step of Adam" + " (arms a little apart)" * (ax is third))
    _draw_gradients(fourth, tables["gradient"])
    marks = (
        plotting.proxy(r"$\log\,\pi$ as it is", marker="o"),
        plotting.proxy("clamped at the floor", marker="o", filled=False),
    )
    plotting.legend(made, columns=3, theory_label="by hand", extra=marks)
    own = {name: values[0] for name, values in tables["effect"].where(sampler="on_policy").columns.items()}
    hidden = " and ".join(plotting.LABELS[name] for name in _SHOWN if name in same)
    plotting.caption(
        made,
        f"Tabular softmax, reward peak {own['peak']:g}, Adam at rate {own['learning_rate']:g} on one data set of "
        f"{own['states']} states with {own['draws']} reference draws: means over {paths['seeds'].max():.0f} data sets. "
        f"{plotting.BARS} Open: log-probabilities clamped at $\\log 2^{{-23}}$"
        f"{f', left out where it is the same ({hidden})' if hidden else ''}. Dashed: Adam down gradients by hand. In "
        f"on-policy DPO a draw is below with probability {plotting.number(own['largest_below'])} at most. d: norm of "
        "the change over that of the gradient, random policies with most actions below.",
    )
    return made


def _draw(ax: "Axes", rows: Table, column: str, name: str, step: float) -> bool:
    """Both paths, the clamped one open, or one where they are the same; whether they are. `step` moves them apart."""
    free, clamped = (rows.where(floor=floor) for floor in (0, 1))
    same = np.array_equal(free[column], clamped[column])
    for floor, mine in enumerate((free, clamped)[: 1 if same else 2]):
        x = apart(mine["step"], 2 * _SHOWN.index(name) + floor, 2 * len(_SHOWN), step)
        line = plotting.mean(ax, x, mine[column], mine[f"{column}_se"], name, label="" if floor else None)
        line.set(linewidth=1.0)
        if floor:
            line.set(markerfacecolor="white", markeredgewidth=0.7)
    return same


def _draw_gradients(ax: "Axes", rows: Table) -> None:
    names = [name for name in ALGORITHMS if name in rows["algorithm"]]
    for place, name in enumerate(names):
        change = rows.where(algorithm=name)["change"][0]
        (line,) = ax.plot(change, -place, plotting.MARKERS[name], color=plotting.COLORS[name], markersize=5)
        plotting.direct_label(line, plotting.LABELS[name], offset=(-6 if change > 1e-3 else 6, 0))
    ax.set_yticks(())
    ax.set(xscale="log", xlim=(3e-8, 3), xlabel="change of the gradient, relative")
    ax.set_title("d  It changes every gradient but PPO's")
