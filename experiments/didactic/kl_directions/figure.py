"""The figure of `kl_directions`: the plane, speeds against whole ways, two fits, and the mode that they keep."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import mode_seeking as ms
from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.kl_directions import steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORWARD, REVERSE = ms.DIRECTIONS
LOOKS = {FORWARD: "offline", REVERSE: "on_policy"}
NAMES = {FORWARD: "forward, KL(q||$\\pi$)", REVERSE: "reverse, KL($\\pi$||q)"}
BANDIT_LOOKS = {"R1": "hybrid_mixture", "R2": "hybrid_paired", "wide": "design"}
BANDIT_NAMES = {"R1": "$R_1$: peak 70, width 10", "R2": "$R_2$: peak 20, width 10", "wide": "peak 20, width 20"}


def plot(table: Table) -> "Figure":
    """The plane with its boundary and the bandits; speed and time ratios; two fits; the mode they keep."""
    made, axes = plotting.figure(4, 1, height=8.0)
    _draw_plane(axes[0], table)
    _draw_ratios(axes[1], table)
    _draw_shapes(axes[2], table)
    _draw_means(axes[3], table)
    plotting.legend(made, theory_label="closed form")
    share = table.where(part="plane", case="share")
    critical = {name: table.where(part="critical", case=name)["predicted"][0] for name in ("R1", "R2")}
    plotting.caption(
        made,
        "a: winner of one autodiff step on a grid; pi_ref against pi* of the 1-D bandit, its peak against a bin of the "
        f"same mass and no reward, beta = 10 (left) to 0.02; R1 crosses at beta = {critical['R1']:.4f}, R2 at "
        f"{critical['R2']:.3f}. Of targets uniform on the simplex of {share['x'][0]:.0f} bins, pi uniform, reverse is "
        f"faster for {share['value'][0]:.1%} ({share['aux'][0]:.0f} draws). b: reverse over forward, above 1 where "
        "reverse is faster: speed of one step (solid), and time to half of the log ratio (markers: steps, dashed: "
        "flow). c, d: best discretised Gaussian for w N(-D/2, s^2) + (1 - w) N(D/2, s^2), s = 0.08, 100 bins; "
        "circles w = 0.5, triangles 0.6; crosses: where gradient flow from the moments of q ends, w = 0.6. No sampling "
        "but the share: exact gradients.",
    )
    return made


def _draw_plane(ax: "Axes", table: Table) -> None:
    for direction in ms.DIRECTIONS:
        rows = table.where(part="plane", case="grid", direction=direction)
        look = {"color": plotting.COLORS[LOOKS[direction]], "alpha": 0.35, "ms": 2.0}
        ax.plot(rows["x"], rows["value"], "s", **look)
    ratio = np.geomspace(1.05, 400, 200)
    plotting.theory(ax, ratio, np.tanh(np.log(ratio) / 2) / (np.log(ratio) / 2))
    for name, key in BANDIT_LOOKS.items():
        rows = table.where(part="bandit", case=name)
        shown = rows["aux"] < 400
        color = plotting.COLORS[key]
        ax.plot(rows["aux"][shown], rows["predicted"][shown], color=color, label=BANDIT_NAMES[name], zorder=4)
    ax.text(1.3, 3.2, "reverse faster", fontsize=7, weight="bold")
    ax.text(1.3, 0.14, "forward faster", fontsize=7, weight="bold")
    ax.set(xscale="log", yscale="log", xlim=(1.1, 330), ylim=(steps.LOW, steps.HIGH))
    ax.set(yticks=(0.1, 0.2, 0.5, 1, 2, 5), yticklabels=("0.1", "0.2", "0.5", "1", "2", "5"))
    ax.set_yticks((), minor=True)
    ax.set(xlabel=r"$q_1/q_2$", ylabel=r"$p\,/\,\frac{1}{2}(q_1+q_2)$")
    ax.set_title("a  who moves mass faster: one step")


def _draw_ratios(ax: "Axes", table: Table) -> None:
    for name in ("R1", "R2"):
        key = BANDIT_LOOKS[name]
        rows = table.where(part="bandit", case=name)
        ax.plot(rows["x"], rows["value"], color=plotting.COLORS[key], label=BANDIT_NAMES[name])
        ways = {d: table.where(part="way", case=name, direction=d) for d in ms.DIRECTIONS}
        measured, flow = (ways[FORWARD][column] / ways[REVERSE][column] for column in ("value", "predicted"))
        ax.plot(ways[FORWARD]["x"], measured, plotting.MARKERS[key], color=plotting.COLORS[key], ms=5)
        plotting.theory(ax, ways[FORWARD]["x"], flow, key)
    ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel=r"temperature $\beta$", xlim=(0.02, 10), ylim=(0.05, 20))
    ax.set(ylabel="reverse / forward speed")
    ax.set_title("b  one step (solid), half of the way (dashed)")


def _draw_shapes(ax: "Axes", table: Table) -> None:
    rows = table.where(part="shape", direction=FORWARD)
    ax.fill_between(rows["x"], rows["predicted"], step="mid", color="#BBBBBB", linewidth=0, label="target q")
    for direction in ms.DIRECTIONS:
        rows = table.where(part="shape", direction=direction)
        color = plotting.COLORS[LOOKS[direction]]
        ax.plot(rows["x"], rows["value"], color=color, drawstyle="steps-mid", label=NAMES[direction])
    ax.set(xlabel="x", ylabel="mass of a bin", xlim=(-1, 1), ylim=(0, None))
    ax.set_title(f"c  best of the class, D = {rows['aux'][0]:g} s, w = 0.6")


def _draw_means(ax: "Axes", table: Table) -> None:
    fits = table.where(part="fit")
    for weight, marker in (("0.5", "o"), ("0.6", "^")):
        for direction in ms.DIRECTIONS:
            rows = fits.where(case=f"mean, w={weight}", direction=direction)
            deviation = np.sqrt(fits.where(case=f"second_moment, w={weight}", direction=FORWARD)["predicted"])
            half = _half(rows["x"], deviation)
            look = {"color": plotting.COLORS[LOOKS[direction]], "marker": marker, "linewidth": 1.0}
            ax.plot(rows["x"], np.abs(rows["value"]) / half, **look)
            if direction == FORWARD:
                plotting.theory(ax, rows["x"], np.abs(rows["predicted"]) / half, LOOKS[direction])
    rows = fits.where(case="broad start's mean, w=0.6")
    half = _half(rows["x"], np.sqrt(fits.where(case="second_moment, w=0.6", direction=FORWARD)["predicted"]))
    look = {"color": plotting.COLORS["on_policy_pooled"], "marker": "x", "markeredgewidth": 0.8, "linewidth": 0.8}
    ax.plot(rows["x"], np.abs(rows["value"]) / half, **look, label="reverse, broad start")
    ax.set(xlabel="separation of the modes D/s", ylabel=r"|mean of fit| / (D/2)", ylim=(-0.05, 1.08))
    ax.set_title("d  which mode it keeps")


def _half(separations: np.ndarray, root_second_moment: np.ndarray) -> np.ndarray:
    """D/2 from D/s and sqrt(s^2 + D^2/4)."""
    return root_second_moment / np.sqrt(1 + 4 / separations**2)
