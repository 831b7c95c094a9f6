"""The figure of `estimator_facts`."""

from itertools import cycle

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact.score_estimators import RLOO
from experiments.partial_coverage.estimator_facts.checks import ratios
from experiments.partial_coverage.estimator_facts.runs import FAMILIES

_LOOKS = ("on_policy", "hypo", "hybrid_paired")


def plot(tables: dict[str, Table]):
    """RLOO's variance over REINFORCE's against the tilt away from the reference, for both references."""
    made, axes = plotting.figure(3, 1, height=6.2)
    table, simulated = tables["enumerated"], tables["simulated"]
    for ax, family in zip(axes[:2], FAMILIES, strict=True):
        for k, key in zip(np.unique(table["draws"]), cycle(_LOOKS), strict=False):
            rows, drawn = (part.where(family=family, draws=k) for part in (table, simulated))
            x, y = rows.where(estimator=RLOO)["tilt"], ratios(rows, "variance")
            ax.plot(x, y, plotting.MARKERS[key], color=plotting.COLORS[key], label=f"k = {k}", ms=4)
            plotting.theory(ax, x, ratios(rows, "predicted"), key)
            circles = {"ms": 9, "mfc": "none", "mew": 0.8, "color": "#000000", "label": "simulated"}
            ax.plot(drawn.where(estimator=RLOO)["tilt"], ratios(drawn, "simulated"), "o", **circles)
        rows = table.where(family=family, draws=np.max(table["draws"]))
        x, limit = rows.where(estimator=RLOO)["tilt"], ratios(rows, "limit")
        ax.plot(x, limit, ":", color="#000000", linewidth=0.9, label=r"$k\to\infty$")
        ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", yscale="log", ylabel="variance, RLOO / REINFORCE")
    axes[0].set_title("tilts of 4 uniform actions: RLOO is worse")
    axes[1].set_title("far from a peaked reference RLOO is better")
    for ax in axes[:2]:
        ax.set_xlabel(r"tilt $t$ of $\pi \propto \pi_{\rm ref}\,e^{tu}$")
    near = tables["near"].where(tilt=tables["near"]["tilt"].min())
    axes[2].plot(near["actions"], near["slope"], plotting.MARKERS["hypo"], color=plotting.COLORS["hypo"], ms=4)
    plotting.theory(axes[2], near["actions"], near["predicted_slope"], "hypo")
    axes[2].axhline(0.0, color="#888888", linewidth=0.8, zorder=1)
    axes[2].set(xscale="log", xlabel="actions $A$", ylabel=r"(ratio $-$ 1)/($\chi^2$/4)")
    axes[2].set_xticks([3, 5, 9, 20, 50], ["3", "5", "9", "20", "50"], minor=False)
    axes[2].minorticks_off()
    axes[2].set_title("near uniform: RLOO is better for A > 9")
    plotting.legend(made, columns=3, theory_label="closed form")
    estimates = simulated["estimates"].max()
    ends = [table.where(family=family)["divergence"].max() for family in FAMILIES]
    plotting.caption(
        made,
        "Gradient of KL(pi||pi_ref) in the logits from k draws of pi, f = log(pi/pi_ref), four actions; pi_ref uniform "
        f"or (.97, .01, .01, .01), KL up to {ends[0]:.1f} and {ends[1]:.1f}. Filled: all 4^k samples. Circles: "
        f"{estimates} simulated estimates. Dashed: Hoeffding's variance of the U-statistic over Var(f grad log pi)/k. "
        "Bottom: many draws, in units of chi-squared(pi, uniform)/4; dashed (9 - A)/(A - 2).",
    )
    return made
