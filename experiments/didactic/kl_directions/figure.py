"""The figure of `kl_directions`: the plane, speeds against whole ways, two fits, and the mode that they keep."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.kl_directions.checks import FORWARD, REVERSE

# Of p/((q1 + q2)/2) in the plane.
LOW, HIGH = 0.1, 6.0
# Bandits and directions are no algorithms: shades, and lines that are named where they run.
_LIGHT, _MIDDLE, _DARK = plotting.shades("reference", 3)
_WAYS = {"R1": (_LIGHT, "o", "$R_1$"), "R2": (_DARK, "s", "$R_2$")}
_DIRECTIONS = {FORWARD: (_LIGHT, "forward"), REVERSE: (_DARK, "reverse")}
# Of weights, from the smallest.
_MARKERS = ("o", "^", "s", "D")


def plot(tables: Mapping[str, Table]):
    """The plane with its boundary and the bandits; speed and time ratios; two fits; the mode they keep."""
    made, ((plane, ratios), (shapes, means)) = plotting.figure(2, 2, width=plotting.PAGE_WIDTH, height=4.9)
    bandits, fits, shape = (tables[part] for part in ("bandit", "fit", "shape"))
    _draw_plane(plane, tables["plane"], bandits)
    _draw_ratios(ratios, tables["way"], bandits)
    _draw_shapes(shapes, shape)
    plotting.legend(made, columns=5, theory_label="closed form; gradient flow (b)", extra=_draw_means(means, fits))
    share = {name: values[0] for name, values in tables["share"].columns.items()}
    found = (*(fits[name].max() for name in ("deviation", "weight")), bandits.where(bandit="R2")["predicted"][0])
    deviation, weight, critical = map(plotting.number, found)
    plotting.caption(
        made,
        r"a: $q_{1,2}$, $p$: the masses of two bins under the target $q$ and under $\pi$. Lines: a bandit's peak "
        r"against a twin without reward, $\pi=\pi_{\mathrm{ref}}$, $\beta$ falling to the right. Of targets uniform on "
        rf"{share['bins']:.0f} bins, $\pi$ uniform, reverse is faster for {share['share']:.1%}; $R_2$ crosses at "
        rf"$\beta$ = {critical}. b: reverse over forward. c, d: best discretised Gaussians for two of deviation $s$ "
        f"= {deviation}, distance $D$, larger weight $w$; broad start: the flow from $q$'s moments, $w$ = {weight}.",
    )
    return made


def _draw_plane(ax: Any, plane: Table, bandits: Table) -> None:
    ratio = np.geomspace(1.05, 400, 200)
    plotting.theory(ax, ratio, np.tanh(np.log(ratio) / 2) / (np.log(ratio) / 2))
    at, first = np.unique(plane["ratio"], return_index=True)
    ax.plot(at, plane["crossing"][first], "x", color="#000000", markeredgewidth=0.9, label="measured (a)")
    labels = {
        "R1": ("$R_1$", -1, (4, 4)),
        "R2": ("$R_2$", -1, (-4, -10)),
        "wide": ("$R_2$, twice as wide", -1, (-4, 13)),
    }
    for (name, (says, place, offset)), color in zip(labels.items(), (_LIGHT, _DARK, _MIDDLE), strict=True):
        rows = bandits.kept((bandits["bandit"] == name) & (bandits["ratio"] < 300) & (bandits["cover"] > 1.05 * LOW))
        if len(rows):
            rows = rows.kept(np.argsort(rows["ratio"]))
            (line,) = ax.plot(rows["ratio"], rows["cover"], color=color)
            plotting.direct_label(line, says, place=place, offset=offset)
    for height, says in ((2.6, "reverse faster"), (0.16, "forward faster")):
        ax.text(1.3, height, says, fontsize=8)
    ax.set(xscale="log", yscale="log", xlim=(1.1, 330), ylim=(LOW, HIGH), xlabel=r"$q_1/q_2$")
    for axis, ticks in ((ax.xaxis, (2, 5, 20, 50, 200)), (ax.yaxis, (0.1, 0.2, 0.5, 1, 2, 5))):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylabel(r"$p\,/\,\frac{1}{2}(q_1+q_2)$")
    ax.set_title("a  One step down reverse KL moves mass faster\nwhere $\\pi$ already has it, above the curve")


def _draw_ratios(ax: Any, all_ways: Table, bandits: Table) -> None:
    for name, (color, marker, says) in _WAYS.items():
        rows, ways = (table.where(bandit=name) for table in (bandits, all_ways))
        (line,) = ax.plot(rows["beta"], rows["speed_ratio"], color=color)
        plotting.direct_label(line, f"{says}, one step", place=0, offset=(2, -17 if name == "R2" else -26))
        measured, flow = (ways[f"{FORWARD}_{how}"] / ways[f"{REVERSE}_{how}"] for how in ("time", "flow"))
        (points,) = ax.plot(ways["beta"], measured, marker, color=color, markersize=4)
        offset = (6, 2) if name == "R2" else (-5, -1)
        plotting.direct_label(points, f"{says}, half way", place=min(2, len(ways) - 1), offset=offset)
        plotting.theory(ax, ways["beta"], flow, color=color)
    ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1, gid="decoration")  # where both are as fast
    ax.set(xscale="log", yscale="log", xlim=(0.018, 11), ylim=(0.05, 20))
    ax.set(xlabel=r"temperature $\beta$", ylabel="speed, reverse / forward")
    ax.set_title("b  The first step does not decide the way:\n$R_1$ starts slower, and arrives faster at low $\\beta$")


def _draw_shapes(ax: Any, rows: Table) -> None:
    ax.fill_between(rows["x"], rows["target"], step="mid", color="#D0D0D0", linewidth=0, label="target $q$")
    for direction, (color, label) in _DIRECTIONS.items():
        (line,) = ax.plot(rows["x"], rows[direction], color=color, drawstyle="steps-mid")
        left, top = int(np.searchsorted(rows["x"], -0.5)), int(rows[direction].argmax())
        where = {"place": left, "offset": (-4, 5)} if direction == FORWARD else {"place": top, "offset": (8, -2)}
        plotting.direct_label(line, label, **where)
    ax.set(xlabel="$x$", ylabel="mass of a bin", xlim=(-1, 1), ylim=(0, None))
    at = "$D$ = {}$s$, $w$ = {}".format(*(plotting.number(rows[name][0]) for name in ("separation", "weight")))
    ax.set_title(f"c  In a class of one mode forward KL covers,\nreverse KL picks ({at})")


def _draw_means(ax: Any, fits: Table) -> list:
    weights = np.unique(fits["weight"])[: len(_MARKERS)]
    for weight, marker in zip(weights, _MARKERS, strict=False):
        rows = fits.where(weight=weight)
        for direction, (color, label) in _DIRECTIONS.items():
            look = {"color": color, "marker": marker, "linewidth": 1.0, "gid": "labelled"}  # by the last weight's
            (line,) = ax.plot(rows["separation"], _in_halves(rows, f"{direction}_mean"), **look)
            if weight == weights[-1]:
                plotting.direct_label(line, label, offset=(-2, 8 if direction == FORWARD else -8))
        plotting.theory(ax, rows["separation"], _in_halves(rows, "mean"), color=_DIRECTIONS[FORWARD][0])
    rows, look = fits.where(weight=weights[-1]), {"markeredgewidth": 0.9, "linewidth": 0.8}
    (line,) = ax.plot(rows["separation"], _in_halves(rows, "broad_mean"), "x-", color=_MIDDLE, **look)
    plotting.direct_label(line, "reverse, broad start", offset=(-2, -8))
    ax.set(xlabel="distance of the modes $D/s$", ylabel=r"|mean of fit| / $(D/2)$", ylim=(-0.06, 1.08))
    ax.set_title("d  For that modes must be far apart; from\na broad start reverse KL ends in between")
    named = [f"$w$ = {plotting.number(weight)} (d)" for weight in weights]
    return [plotting.proxy(name, marker=marker) for name, marker in zip(named, _MARKERS, strict=False)]


def _in_halves(rows: Table, name: str) -> np.ndarray:
    """|mean| over D/2."""
    return np.abs(rows[name]) / (rows["separation"] * rows["deviation"] / 2)
