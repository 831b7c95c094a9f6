"""The figure of `one_sided_data`: KL and log-ratios along training, and the critical penalty over beta."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.one_sided_data.runs import CRITICAL, CURVE, HYPO, LINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(table: Table) -> "Figure":
    """Training curves with two actions over their predicted flow; below, measured brackets on the computed line."""
    made, axes = plotting.figure(3, 1, height=5.6, gridspec_kw={"height_ratios": [1, 1, 1.05]})
    curves = table.where(kind=CURVE, actions=2)
    names = list(dict.fromkeys(curves["name"].tolist()))
    held = [name for name in names if name.startswith(HYPO)]
    shades = dict(zip(held, plotting.shades("hypo", len(held) + 2)[-2:0:-1], strict=True))
    marks = dict(zip(held, ("<", ">", "^", "v", "8", "H"), strict=False))
    for name in names:
        rows = curves.where(name=name)
        method = rows["method"][0]
        look = {"marker": marks.get(name, plotting.MARKERS[method]), "color": shades.get(name, plotting.COLORS[method])}
        for ax, column in zip(axes, ("kl", "gap"), strict=False):
            ax.plot(rows["step"], rows[column], label=_label(rows), linewidth=1, markevery=3, **look)
            plotting.theory(ax, rows["step"], rows[{"kl": "flow_kl", "gap": "flow"}[column]])
    note = {"textcoords": "offset points", "fontsize": 7}
    axes[0].axhline(np.log(2), color="#888888", linewidth=0.6, zorder=1)
    axes[0].annotate("log 2", (1, np.log(2)), xytext=(0, -9), **note)
    axes[0].set(xscale="log", ylabel=r"KL($\pi\|\pi_{\rm ref}$)")
    axes[1].set(xscale="log", xlabel="gradient steps", ylabel="log-ratio gap $D$")
    # The first number of actions is the curves'; the second shows that the critical lambda depends on it.
    for key, actions in zip(("hypo", "reference"), np.unique(table.where(kind=LINE)["actions"]), strict=False):
        line = table.where(kind=LINE, actions=actions)
        plotting.theory(axes[2], line["beta"], line["predicted"], key)
        rows = table.where(kind=CRITICAL, actions=actions)
        middle, half = (rows["low"] + rows["high"]) / 2, (rows["high"] - rows["low"]) / 2
        look = {"color": plotting.COLORS[key], "marker": "D" if key == "hypo" else "s", "markersize": 3}
        axes[2].errorbar(
            rows["beta"], middle, half, linestyle="", label=f"critical $\\lambda$, A = {actions:g}", **look
        )
        peak = int(np.argmax(line["predicted"]))
        axes[2].annotate(
            f"A = {actions:g}", (line["beta"][peak], line["predicted"][peak]), xytext=(0, -11), ha="center", **note
        )
    axes[2].annotate("held", (0.86, 0.55), fontsize=7)
    axes[2].annotate("escapes", (0.5, 0.03), fontsize=7, ha="center")
    axes[2].set(xlabel=r"$\beta$", ylabel=r"critical $\lambda$", xlim=(0, 1), ylim=(0, None))
    plotting.legend(made, theory_label="predicted")
    ends = [curves.where(name=name)["end"][0] for name in names]
    plotting.caption(
        made,
        "Uniform reference, action 0 wins every label; tabular softmax, "
        f"{curves['step'].max():,.0f} plain gradient steps of 0.5. Top and middle: two actions; dashed, gradient flow "
        "(closed form for DPO), which the first, long steps outrun. RLHF: policy gradients on the reward fitted with "
        r"$|r| \leq$ 1. Bottom: the largest $\lambda$ tried that escapes to the smallest that stops within these "
        r"steps; near $\beta$ = 1 the turn comes too late for them. "
        f"Runs not finite: {table['failed'].sum():.0f}; curves that reached no stationary point, as predicted: "
        f"{sum(end == 1 for end in ends)} of {len(names)}.",
    )
    return made


def _label(rows: Table) -> str:
    method, beta, penalty = rows["method"][0], rows["beta"][0], rows["penalty"][0]
    text = f"{plotting.LABELS[method]}, $\\beta$ = {beta:g}"
    return text + (f", $\\lambda$ = {penalty:.2f}" if method == HYPO else "")
