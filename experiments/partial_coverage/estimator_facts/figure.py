"""The figure of `estimator_facts`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact.score_estimators import RLOO
from experiments.partial_coverage.estimator_facts.checks import ratios
from experiments.partial_coverage.estimator_facts.runs import FAMILIES

_MARKERS = "so^DvP"
# Of the names of the limits: share of the tilts, and offset from there.
_PLACES = ((0.1, (0, -7)), (0.8, (-16, -3)))


def plot(tables: dict[str, Table]):
    """RLOO's variance over REINFORCE's against the tilt away from the reference, for both references."""
    made, axes = plotting.figure(3, 1, height=6.0)
    table, simulated = tables["enumerated"], tables["simulated"]
    for ax, family, (share, offset) in zip(axes[:2], FAMILIES, _PLACES, strict=True):
        line = _tilts(ax, table.where(family=family), simulated.where(family=family))
        plotting.direct_label(line, r"$k\to\infty$", place=int(share * len(line.get_xdata())), offset=offset)
    axes[0].set_title("Away from 4 uniform actions RLOO is worse")
    axes[1].set_title("Far from a peaked reference RLOO is better")
    near = tables["near"].where(tilt=tables["near"]["tilt"].min())
    look = {"color": plotting.COLORS["reference"], "marker": "X", "linestyle": "", "markersize": 4.5}
    axes[2].plot(near["actions"], near["slope"], label=r"$k\to\infty$, near uniform", **look)
    plotting.theory(axes[2], near["actions"], near["predicted_slope"], "reference")
    axes[2].axhline(0.0, color="#888888", linewidth=0.8, zorder=1, gid="decoration")  # equal variances
    axes[2].set(xscale="log", xlabel="actions $A$", ylabel=r"(ratio $-$ 1)/($\chi^2$/4)")
    shown = np.geomspace(near["actions"].min(), near["actions"].max(), 6).round()
    axes[2].set_xticks(shown, [f"{number:g}" for number in shown])
    axes[2].minorticks_off()
    axes[2].set_title("Near uniform RLOO is better for $A$ > 9")
    plotting.legend(made, columns=3, theory_label="closed form")
    estimates = simulated["estimates"].max()
    ends = [table.where(family=family)["divergence"].max() for family in FAMILIES]
    plotting.caption(
        made,
        "Gradient of KL$(\\pi\\|\\pi_{\\mathrm{ref}})$ in the logits from $k$ draws of $\\pi$, four actions; "
        f"$\\pi_{{\\mathrm{{ref}}}}$ uniform or (.97, .01, .01, .01), KL up to {ends[0]:.1f} and {ends[1]:.1f} nats. "
        f"Filled: all $4^k$ samples. Circles: {estimates:,} simulated estimates. Dashed: Hoeffding's variance of the "
        "U-statistic over Var$(f\\,\\nabla\\log\\pi)/k$, $f=\\log(\\pi/\\pi_{\\mathrm{ref}})$; bottom: $(9-A)/(A-2)$, "
        "$\\chi^2$ that of $\\pi$ from uniform.",
    )
    return made


def _tilts(ax, table: Table, simulated: Table):
    """The line of the limit."""
    draws = np.unique(table["draws"])
    for k, color, marker in zip(draws, plotting.shades("reinforce", len(draws)), _MARKERS, strict=False):
        rows, drawn = table.where(draws=k), simulated.where(draws=k)
        x, y = rows.where(estimator=RLOO)["tilt"], ratios(rows, "variance")
        ax.plot(x, y, color=color, marker=marker, linestyle="", markersize=4, label=f"$k$ = {k}")
        plotting.theory(ax, x, ratios(rows, "predicted"), color=color)
        circles = {"markersize": 9, "markerfacecolor": "none", "markeredgewidth": 0.8, "color": "#000000"}
        tilts = drawn.where(estimator=RLOO)["tilt"]
        ax.plot(tilts, ratios(drawn, "simulated"), marker="o", linestyle="", label="simulated", **circles)
    rows = table.where(draws=draws[-1])
    x, limit = rows.where(estimator=RLOO)["tilt"], ratios(rows, "limit")
    (line,) = ax.plot(x, limit, ":", color="#000000", linewidth=0.9)
    ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1, gid="decoration")  # equal variances
    ax.set(xscale="log", ylabel="variance,\nRLOO / REINFORCE", ylim=(0, None))
    ax.set_xlabel(r"tilt $t$ of $\pi \propto \pi_{\mathrm{ref}}\,e^{tu}$ [nats]")
    return line
