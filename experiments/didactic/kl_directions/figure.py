"""The figure of `kl_directions`: the plane, speeds against whole ways, two fits, and the mode that they keep."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.kl_directions.checks import FORWARD, REVERSE

# Of p/((q1 + q2)/2) in the plane.
LOW, HIGH = 0.1, 6.0
LOOKS = {FORWARD: ("offline", "forward, KL(q||$\\pi$)"), REVERSE: ("on_policy", "reverse, KL($\\pi$||q)")}
BANDIT_LOOKS = {"R1": "hybrid_mixture", "R2": "hybrid_paired", "wide": "design"}
BANDIT_NAMES = {"R1": "$R_1$: peak 70, width 10", "R2": "$R_2$: peak 20, width 10", "wide": "peak 20, width 20"}
# Of weights, from the smallest: markers and their names.
_WEIGHTS = (("circles", "o"), ("triangles", "^"), ("squares", "s"), ("diamonds", "D"))


def plot(tables: Mapping[str, Table]):
    """The plane with its boundary and the bandits; speed and time ratios; two fits; the mode they keep."""
    made, axes = plotting.figure(4, 1, height=8.0)
    bandits, fits, shape = (tables[part] for part in ("bandit", "fit", "shape"))
    _draw_plane(axes[0], tables["plane"], bandits)
    _draw_ratios(axes[1], tables["way"], bandits)
    _draw_shapes(axes[2], shape)
    _draw_means(axes[3], fits)
    plotting.legend(made, theory_label="closed form")
    share = {name: values[0] for name, values in tables["share"].columns.items()}
    critical = {name: bandits.where(bandit=name)["predicted"][0] for name in ("R1", "R2")}
    weights = np.unique(fits["weight"])
    looks = ", ".join(f"{name} w = {weight:g}" for (name, _), weight in zip(_WEIGHTS, weights, strict=False))
    plotting.caption(
        made,
        "a: winner of one autodiff step on a grid; pi_ref against pi* of the 1-D bandit, its peak against a bin of the "
        f"same mass and no reward, beta = {bandits['beta'].max():g} (left) to {bandits['beta'].min():g}; R1 crosses at "
        f"beta = {critical['R1']:.4f}, R2 at {critical['R2']:.3f}. Of targets uniform on the simplex of "
        f"{share['bins']:.0f} bins, pi uniform, reverse is faster for {share['share']:.1%} ({share['draws']:.0f} "
        "draws). b: reverse over forward, above 1 where reverse is faster: speed of one step (solid), and time to half "
        "of the log ratio (markers: steps, dashed: flow). c, d: best discretised Gaussian for w N(-D/2, s^2) + (1 - w) "
        f"N(D/2, s^2), s = {fits['deviation'][0]:g}, {len(shape)} bins; {looks}; crosses: where gradient flow from the "
        f"moments of q ends, w = {weights[-1]:g}. No sampling but the share: exact gradients.",
    )
    return made


def _draw_plane(ax: Any, plane: Table, bandits: Table) -> None:
    for direction, (key, _) in LOOKS.items():
        rows = plane.where(winner=direction)
        ax.plot(rows["ratio"], rows["cover"], "s", color=plotting.COLORS[key], alpha=0.35, ms=2.0)
    ratio = np.geomspace(1.05, 400, 200)
    plotting.theory(ax, ratio, np.tanh(np.log(ratio) / 2) / (np.log(ratio) / 2))
    for name, key in BANDIT_LOOKS.items():
        rows = bandits.kept((bandits["bandit"] == name) & (bandits["ratio"] < 400))
        ax.plot(rows["ratio"], rows["cover"], color=plotting.COLORS[key], label=BANDIT_NAMES[name], zorder=4)
    ax.text(1.3, 3.2, "reverse faster", fontsize=7, weight="bold")
    ax.text(1.3, 0.14, "forward faster", fontsize=7, weight="bold")
    ax.set(xscale="log", yscale="log", xlim=(1.1, 330), ylim=(LOW, HIGH))
    ax.set(yticks=(0.1, 0.2, 0.5, 1, 2, 5), yticklabels=("0.1", "0.2", "0.5", "1", "2", "5"))
    ax.set_yticks((), minor=True)
    ax.set(xlabel=r"$q_1/q_2$", ylabel=r"$p\,/\,\frac{1}{2}(q_1+q_2)$", title="a  who moves mass faster: one step")


def _draw_ratios(ax: Any, all_ways: Table, bandits: Table) -> None:
    for name in ("R1", "R2"):
        key = BANDIT_LOOKS[name]
        rows, ways = (table.where(bandit=name) for table in (bandits, all_ways))
        ax.plot(rows["beta"], rows["speed_ratio"], color=plotting.COLORS[key], label=BANDIT_NAMES[name])
        measured, flow = (ways[f"{FORWARD}_{how}"] / ways[f"{REVERSE}_{how}"] for how in ("time", "flow"))
        ax.plot(ways["beta"], measured, plotting.MARKERS[key], color=plotting.COLORS[key], ms=5)
        plotting.theory(ax, ways["beta"], flow, key)
    ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel=r"temperature $\beta$", xlim=(0.02, 10), ylim=(0.05, 20))
    ax.set(ylabel="reverse / forward speed", title="b  one step (solid), half of the way (dashed)")


def _draw_shapes(ax: Any, rows: Table) -> None:
    ax.fill_between(rows["x"], rows["target"], step="mid", color="#BBBBBB", linewidth=0, label="target q")
    for direction, (key, label) in LOOKS.items():
        ax.plot(rows["x"], rows[direction], color=plotting.COLORS[key], drawstyle="steps-mid", label=label)
    ax.set(xlabel="x", ylabel="mass of a bin", xlim=(-1, 1), ylim=(0, None))
    ax.set_title(f"c  best of the class, D = {rows['separation'][0]:g} s, w = {rows['weight'][0]:g}")


def _draw_means(ax: Any, fits: Table) -> None:
    weights = np.unique(fits["weight"])[: len(_WEIGHTS)]
    for weight, (_, marker) in zip(weights, _WEIGHTS, strict=False):
        rows = fits.where(weight=weight)
        for direction, (key, _) in LOOKS.items():
            look = {"color": plotting.COLORS[key], "marker": marker, "linewidth": 1.0}
            ax.plot(rows["separation"], _in_halves(rows, f"{direction}_mean"), **look)
        plotting.theory(ax, rows["separation"], _in_halves(rows, "mean"), LOOKS[FORWARD][0])
    look = {"color": plotting.COLORS["on_policy_pooled"], "marker": "x", "markeredgewidth": 0.8, "linewidth": 0.8}
    rows = fits.where(weight=weights[-1])
    ax.plot(rows["separation"], _in_halves(rows, "broad_mean"), **look, label="reverse, broad start")
    ax.set(xlabel="separation of the modes D/s", ylabel=r"|mean of fit| / (D/2)", ylim=(-0.05, 1.08))
    ax.set_title("d  which mode it keeps")


def _in_halves(rows: Table, name: str) -> np.ndarray:
    """|mean| over D/2."""
    return np.abs(rows[name]) / (rows["separation"] * rows["deviation"] / 2)
