"""The figure of `negative_gradient`: reward against the peak, the plane where RWR wins, and the two by two."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.negative_gradient.runs import OFFLINE, ON_POLICY, R1, R2, SQUARE, WIDTH
from experiments.didactic.shared.shortfalls import LINEAR, from_zero
from experiments.shared.bands import apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORDER = ("rwr", "dpo", "ipo", "best_of_n_negative", "best_of_n", "pref_ft")


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Left: offline along the peaks. Middle: DPO less RWR on the plane. Right: the two by two on R1."""
    made, (left, middle, right) = plotting.figure(
        1, 3, width=plotting.PAGE_WIDTH, height=2.9, width_ratios=(1.15, 1.3, 0.95)
    )
    last = tables["result"]["steps"].max()
    results = tables["result"].where(steps=last)
    ceilings = tables["ceiling"].where(width=WIDTH)
    _draw_peaks(left, results.where(sampler=OFFLINE, width=WIDTH), ceilings)
    _draw_plane(made, middle, tables)
    _draw_square(right, results.where(peak=R1, width=WIDTH))
    draws = ceilings.where(peak=R1)["draws"].tolist()
    plotting.legend(made, columns=4, theory_label=f"E max of {draws[0]} or {draws[1]} draws")
    best, tried = (rows.where(sampler=OFFLINE, method="rwr")["value"] for rows in (results, tables["grid"]))
    end = "the least tried" if best.max() == tried.min() else f"at most, of {tried.min():g} to {tried.max():g}"
    plotting.caption(
        made,
        f"Tabular softmax, Adam, {last:.0f} steps, each on {results['states'][0]:.0f} new states of "
        f"{results['draws'][0]:.0f} draws: means over seeds. {plotting.BARS} a: draws of $\\pi_{{\\mathrm{{ref}}}}$, "
        f"width {WIDTH:g}. Black in b: where DPO and RWR are equal. c: peak {R1:g}, width {WIDTH:g}; linear below "
        f"{plotting.number(LINEAR)}. Learning rate and the method's own number are tuned for every point on held-out "
        f"seeds; RWR's temperature ends at {best.max():g}, {end}."
        + plotting.only_if(results["failed"].sum(), " Runs not finite: {}."),
    )
    return made


def _draw_peaks(ax: "Axes", rows: Table, ceilings: Table) -> None:
    for name in _ORDER:
        mine = rows.where(method=name)
        mine = mine.kept(np.argsort(mine["peak"]))
        plotting.mean(ax, mine["peak"], mine["reward"], mine["reward_se"], name)
    for name in ("best_of_n", "pref_ft"):
        ceiling = ceilings.where(method=name)
        order = np.argsort(ceiling["peak"])
        plotting.theory(ax, ceiling["peak"][order], ceiling["reward"][order], name)
    for peak, name in ((R1, "$R_1$"), (R2, "$R_2$")):
        # A guide to the two bandits of the other figures, named at its foot.
        ax.axvline(peak, color="#bbbbbb", linewidth=0.8, zorder=0, gid="decoration")
        ax.text(peak + 1.5, 0.015, name, fontsize=7)
    ax.set(ylim=(0, 1.03), ylabel=r"reward $E_\pi R$", xlabel="peak of the reward [action]")
    ax.set_title("a  Offline negative gradients\nbeat ranks, but not RWR")


def _draw_plane(made: "Figure", ax: "Axes", tables: Mapping[str, Table]) -> None:
    rows = tables["margin"].where(first="dpo", second="rwr", sampler=OFFLINE)
    peaks, widths = np.unique(rows["peak"]), np.unique(rows["width"])
    grid = np.full((len(widths), len(peaks)), np.nan)
    grid[np.searchsorted(widths, rows["width"]), np.searchsorted(peaks, rows["peak"])] = rows["margin"]
    look = {"cmap": "PuOr", "vmin": -0.4, "vmax": 0.4, "shading": "nearest"}
    mesh = ax.pcolormesh(peaks, np.arange(len(widths)), grid, **look)
    if "crossing" in tables and "dpo" in tables["crossing"]["method"]:
        marks = tables["crossing"].where(method="dpo")
        ax.plot(marks["peak"], np.searchsorted(widths, marks["width"]), color="#000000", marker="|", markersize=12)
    bar = made.colorbar(mesh, ax=ax, extend="both", fraction=0.06, pad=0.03, ticks=(-0.4, -0.2, 0, 0.2, 0.4))
    bar.set_label("reward, DPO less RWR")
    bar.outline.set_visible(False)
    ax.set_yticks(np.arange(len(widths)), [f"{width:g}" for width in widths])
    ax.grid(visible=False)
    ax.set(xlabel="peak of the reward [action]", ylabel="its width [actions]")
    ax.set_title("b  Near the reference's mode DPO\nbeats RWR, by very little")


def _draw_square(ax: "Axes", rows: Table) -> None:
    names = [name for name in _ORDER if any(name in pair for pair in SQUARE)]
    most = 0.0
    for place, name in enumerate(names):
        ends = [rows.where(method=name, sampler=sampler) for sampler in (OFFLINE, ON_POLICY)]
        regret, error = (np.array([row[column][0] for row in ends]) for column in ("reward", "reward_se"))
        x = apart(np.array([1.0, 2.0]), place, len(names), 0.05)
        plotting.mean(ax, x, 1 - regret, error, name)
        most = max(most, float((1 - regret + plotting.NUM_ERRORS * error).max()))
    from_zero(ax.yaxis, most)
    ax.set_xticks((1.0, 2.0), ("offline", "on-policy"))
    ax.set(xlim=(0.7, 2.3), xlabel="draws", ylabel=r"shortfall $1-E_\pi R$ on $R_1$")
    ax.set_title("c  Own draws and a\nnegative term combine")
    ax.grid(visible=False, axis="x")
