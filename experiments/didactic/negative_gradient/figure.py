"""The figure of `negative_gradient`: reward against the peak, the plane where RWR wins, and the two by two."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.negative_gradient.runs import OFFLINE, ON_POLICY, R1, R2, SQUARE, WIDTH
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORDER = ("rwr", "dpo", "best_of_n_negative", "ipo", "best_of_n", "pref_ft")


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Above: offline along the peaks. Middle: DPO less RWR on the plane. Below: the two by two on R1."""
    made, axes = plotting.figure(3, 1, height=6.2, gridspec_kw={"height_ratios": (2.2, 1.2, 1.6)})
    last = tables["result"]["steps"].max()
    results = tables["result"].where(steps=last)
    ceilings = tables["ceiling"].where(width=WIDTH)
    _draw_peaks(axes[0], results.where(sampler=OFFLINE, width=WIDTH), ceilings)
    _draw_plane(made, axes[1], tables)
    _draw_square(axes[2], results.where(peak=R1, width=WIDTH))
    draws = ceilings.where(peak=R1)["draws"].tolist()
    plotting.legend(made, columns=2, theory_label=f"E max of {draws[0]} or {draws[1]} draws")
    best, tried = (rows.where(sampler=OFFLINE, method="rwr")["value"] for rows in (results, tables["grid"]))
    end = "the least tried" if best.max() == tried.min() else f"at most, of {tried.min():g} to {tried.max():g}"
    plotting.caption(
        made,
        f"Tabular softmax, Adam, {last:.0f} steps, each on {results['states'][0]} new states of {results['draws'][0]} "
        f"draws. a: mean over seeds, 10-90% band, draws of pi_ref, width {WIDTH:g}; dashed: limits of Best-of-N and "
        "Pref-FT in infinite data. b: difference of means; line: where it is zero. c: regret 1 - reward on R1 (peak "
        f"{R1:g}, width {WIDTH:g}); filled without, open with a negative gradient. Learning rate and the method's own "
        "number are tuned for every point on other seeds; RWR's temperature ends at "
        f"{best.max():g}, {end}. Runs not finite: {results['failed'].sum():.0f}.",
    )
    return made


def _draw_peaks(ax: "Axes", rows: Table, ceilings: Table) -> None:
    for name in _ORDER:
        key, label = LOOKS[name]
        mine = rows.where(method=name)
        order = np.argsort(mine["peak"])
        levels = np.stack([mine[f"reward{level}"] for level in ("_low", "", "_high")])[:, order]
        plotting.band(ax, mine["peak"][order], levels, key, label=label)
    for name in ("best_of_n", "pref_ft"):
        ceiling = ceilings.where(method=name)
        order = np.argsort(ceiling["peak"])
        plotting.theory(ax, ceiling["peak"][order], ceiling["reward"][order], LOOKS[name][0])
    for peak, name in ((R1, "$R_1$"), (R2, "$R_2$")):
        ax.axvline(peak, color="#BBBBBB", linewidth=0.8, zorder=0)
        ax.annotate(name, (peak, 1.02), fontsize=7, ha="center", annotation_clip=False)
    ax.set(ylim=(0, 1.01), ylabel=r"$E_\pi R$", xlabel="peak")
    ax.set_title("a   offline", pad=10)


def _draw_plane(made: "Figure", ax: "Axes", tables: Mapping[str, Table]) -> None:
    rows = tables["margin"].where(first="dpo", second="rwr", sampler=OFFLINE)
    peaks, widths = np.unique(rows["peak"]), np.unique(rows["width"])
    grid = np.full((len(widths), len(peaks)), np.nan)
    grid[np.searchsorted(widths, rows["width"]), np.searchsorted(peaks, rows["peak"])] = rows["margin"]
    look = {"cmap": "PuOr", "vmin": -0.4, "vmax": 0.4, "shading": "nearest"}
    ax.set_xlim(peaks[0], peaks[-1])
    mesh = ax.pcolormesh(peaks, np.arange(len(widths)), grid, **look)
    if "crossing" in tables and "dpo" in tables["crossing"]["method"]:
        marks = tables["crossing"].where(method="dpo")
        ax.plot(marks["peak"], np.searchsorted(widths, marks["width"]), color="#000000", marker="|", markersize=12)
    bar = made.colorbar(mesh, ax=ax, extend="both", fraction=0.06, pad=0.02)
    bar.set_label("DPO less RWR", fontsize=7)
    bar.outline.set_visible(False)
    ax.set_yticks(np.arange(len(widths)), [f"{width:g}" for width in widths])
    ax.grid(visible=False)
    ax.set(xlabel="peak", ylabel="width", title="b   offline: DPO wins left of the line, RWR right")


def _draw_square(ax: "Axes", rows: Table) -> None:
    names = []
    for place, pair in enumerate((likelihood, negative) for negative, likelihood in SQUARE):
        for name, filled in zip(pair, (True, False), strict=True):
            key = LOOKS[name][0]
            ends = [rows.where(method=name, sampler=sampler) for sampler in (OFFLINE, ON_POLICY)]
            regret, error = ([row[column][0] for row in ends] for column in ("reward", "reward_se"))
            x = place + np.array([-0.22, 0.22])
            face = plotting.COLORS[key] if filled else "white"
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markersize": 5, "linewidth": 1}
            ax.errorbar(x, 1 - np.asarray(regret), error, markerfacecolor=face, markeredgewidth=1, **look)
        names.append(f"{LOOKS[pair[0]][1]}\nor {LOOKS[pair[1]][1]}")
    ax.set_xticks(np.arange(3), names)
    ax.set(yscale="log", ylabel=r"$1 - E_\pi R$ on $R_1$", title="c   from offline (left) to on-policy (right)")
    ax.grid(visible=False, axis="x")
