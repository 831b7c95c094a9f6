"""The figure of `negative_gradient`: reward against the peak, the plane where RWR wins, and the two by two."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.negative_gradient.runs import OFFLINE, ON_POLICY
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORDER = ("rwr", "dpo", "best_of_n_negative", "ipo", "best_of_n", "pref_ft")
_WIDTH, _R1, _R2 = 10.0, 70.0, 20.0
_LIMIT = 0.4


def plot(table: Table) -> "Figure":
    """Above: offline along the peaks. Middle: DPO less RWR on the plane. Below: the two by two on R1."""
    made, axes = plotting.figure(3, 1, height=6.2, gridspec_kw={"height_ratios": (2.2, 1.2, 1.6)})
    last = table["steps"].max()
    results = table.where(part="result", steps=last)
    _draw_peaks(axes[0], table, results.where(sampler=OFFLINE, width=_WIDTH))
    _draw_plane(made, axes[1], table)
    _draw_square(axes[2], results.where(peak=_R1, width=_WIDTH))
    plotting.legend(made, columns=2, theory_label="E max of 10 or 2 draws")
    best = results.where(part="result", first="rwr", sampler=OFFLINE)
    plotting.caption(
        made,
        f"Tabular softmax, Adam, {last:.0f} steps, each on 4 new states of 10 draws. a: mean over seeds, 10-90% band, "
        "draws of pi_ref, width 10; dashed: limits of Best-of-N and Pref-FT in infinite data. b: difference of means; "
        "line: where it is zero. c: regret 1 - reward on R1 (peak 70, width 10); filled without, open with a negative "
        "gradient. Learning rate and the method's own number are tuned for every point on other seeds; RWR's "
        f"temperature ends at {best['value'].max():g}, the least tried. Runs not finite: "
        f"{results['failed'].sum():.0f}.",
    )
    return made


def _draw_peaks(ax: "Axes", table: Table, rows: Table) -> None:
    for name in _ORDER:
        key, label = LOOKS[name]
        mine = rows.where(first=name)
        order = np.argsort(mine["peak"])
        levels = np.stack([mine["low"], mine["reward"], mine["high"]])[:, order]
        plotting.band(ax, mine["peak"][order], levels, key, label=label)
    for name in ("best_of_n", "pref_ft"):
        ceiling = table.where(part="ceiling", first=name, width=_WIDTH)
        order = np.argsort(ceiling["peak"])
        plotting.theory(ax, ceiling["peak"][order], ceiling["reward"][order], LOOKS[name][0])
    for peak, name in ((_R1, "$R_1$"), (_R2, "$R_2$")):
        ax.axvline(peak, color="#BBBBBB", linewidth=0.8, zorder=0)
        ax.annotate(name, (peak, 1.02), fontsize=7, ha="center", annotation_clip=False)
    ax.set(ylim=(0, 1.01), ylabel=r"$E_\pi R$", xlabel="peak")
    ax.set_title("a   offline", pad=10)


def _draw_plane(made: "Figure", ax: "Axes", table: Table) -> None:
    rows = table.where(part="margin", first="dpo", second="rwr", sampler=OFFLINE)
    peaks, widths = np.unique(rows["peak"]), np.unique(rows["width"])
    grid = np.full((len(widths), len(peaks)), np.nan)
    grid[np.searchsorted(widths, rows["width"]), np.searchsorted(peaks, rows["peak"])] = rows["reward"]
    look = {"cmap": "PuOr", "vmin": -_LIMIT, "vmax": _LIMIT, "shading": "nearest"}
    ax.set_xlim(peaks[0], peaks[-1])
    mesh = ax.pcolormesh(peaks, np.arange(len(widths)), grid, **look)
    if (table["part"] == "crossing").any():
        marks = table.where(part="crossing", first="dpo")
        ax.plot(marks["peak"], np.searchsorted(widths, marks["width"]), color="#000000", marker="|", markersize=12)
    bar = made.colorbar(mesh, ax=ax, extend="both", fraction=0.06, pad=0.02)
    bar.set_label("DPO less RWR", fontsize=7)
    bar.outline.set_visible(False)
    ax.set_yticks(np.arange(len(widths)), [f"{width:g}" for width in widths])
    ax.grid(visible=False)
    ax.set(xlabel="peak", ylabel="width", title="b   offline: DPO wins left of the line, RWR right")


def _draw_square(ax: "Axes", rows: Table) -> None:
    columns = (("best_of_n", "best_of_n_negative"), ("pref_ft", "dpo"), ("pref_ft", "ipo"))
    names = []
    for place, pair in enumerate(columns):
        for name, filled in zip(pair, (True, False), strict=True):
            key = LOOKS[name][0]
            regret, error = [], []
            for sampler in (OFFLINE, ON_POLICY):
                mine = rows.where(first=name, sampler=sampler)
                regret.append(1 - mine["reward"][0])
                error.append(mine["reward_se"][0])
            x = place + np.array([-0.22, 0.22])
            face = plotting.COLORS[key] if filled else "white"
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markersize": 5, "linewidth": 1}
            ax.errorbar(x, regret, error, markerfacecolor=face, markeredgewidth=1, **look)
        names.append(f"{LOOKS[pair[0]][1]}\nor {LOOKS[pair[1]][1]}")
    ax.set_xticks(np.arange(3), names)
    ax.set(yscale="log", ylabel=r"$1 - E_\pi R$ on $R_1$", title="c   from offline (left) to on-policy (right)")
    ax.grid(visible=False, axis="x")
