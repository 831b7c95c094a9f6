"""The figure of `coverage_functions`."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.coverage_functions.checks import kept
from experiments.partial_coverage.coverage_functions.runs import CURVE, RANDOM, RATIO, REACH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(table: Table) -> "Figure":
    """C_kl against the radius; the divergence that rewards of a span reach; what stays bounded as p falls."""
    made, axes = plotting.figure(3, 1, height=6.2)
    curve = table.where(part=CURVE)
    masses = sorted(set(curve["mass"].tolist()) - {0.0}, reverse=True)
    for mass, shade in zip(masses, plotting.shades("rlhf", len(masses)), strict=True):
        rows = curve.where(mass=mass)
        rows = kept(rows, (rows["x"] > 0) & np.isfinite(rows["x"]))
        axes[0].plot(rows["x"], rows["value"], color=shade, label=rf"$C_{{kl}}$, p = {mass:g}")
        plotting.theory(axes[0], rows["x"], rows["low"])
        axes[0].axhline(1 / mass, color="#888888", linewidth=0.6, zorder=1)
    axes[0].set(xscale="log", yscale="log", xlabel=r"radius $e$ of the KL ball", ylabel=r"$\max\,\pi/\pi_{\rm ref}$")
    axes[0].set_title(r"a  from 1 to $C_{glo} = 1/p$ (grey)")
    reach = table.where(part=REACH)
    key = "hybrid_design"
    axes[1].plot(
        reach["x"], reach["value"], plotting.MARKERS[key], color=plotting.COLORS[key], label="largest of random", ms=5
    )
    plotting.theory(axes[1], reach["x"], reach["high"])
    axes[1].plot(reach["x"], reach["x"], ":", color="#888888", label=r"$s/\beta$")
    axes[1].set(
        xscale="log", yscale="log", xlabel=r"span $s/\beta$ of the reward", ylabel=r"$E_x$KL$(\pi\|\pi_{\rm ref})$"
    )
    axes[1].set_title("b  a bounded reward stays in a KL ball")
    rows = kept(curve.where(x=1.0), curve.where(x=1.0)["mass"] > 0)
    axes[2].plot(rows["mass"], rows["value"], "o", color=plotting.COLORS["rlhf"], ms=5, label=r"$C_{kl}(1)$")
    plotting.theory(axes[2], rows["mass"], rows["low"])
    axes[2].plot(rows["mass"], 1 / rows["mass"], "-", color="#888888", linewidth=0.8, label=r"$C_{glo}$")
    limit = float(table.where(part=RATIO, x=1.0)["high"][0])
    axes[2].plot(
        rows["mass"], np.full(len(rows), limit), "-.", color="#882255", label=r"limit $e^{s/\beta}$, $s=\beta$"
    )
    axes[2].set(xscale="log", yscale="log", xlabel=r"mass $p$ of the rare action", ylabel=r"$\max\,\pi/\pi_{\rm ref}$")
    axes[2].invert_xaxis()
    axes[2].set_title("c  the ball saves only a logarithm")
    plotting.legend(made, columns=2, theory_label="enclosure / maximum")
    count, values = reach["count"][0], table.where(part=RANDOM)["count"].sum()
    plotting.caption(
        made,
        "a, c: two actions, pi_ref = (1 - p, p); dashed: the largest pi/pi_ref of tilted policies in the ball, which a "
        f"dual bound encloses to 1e-8 or better, as for {values} random ones in the checks. b: the largest of {count} "
        "random rewards and references a span; dashed: the exact maximum, c - 1 - log c, c = (s/beta)/(1 - e^-s/beta).",
    )
    return made
