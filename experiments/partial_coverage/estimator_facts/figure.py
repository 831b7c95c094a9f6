"""The figure of `estimator_facts`."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.estimator_facts import moments
from experiments.partial_coverage.estimator_facts.checks import ratios
from experiments.partial_coverage.estimator_facts.runs import FAMILIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOOKS = {2: "on_policy", 4: "hypo", 6: "hybrid_paired"}


def plot(table: Table) -> "Figure":
    """RLOO's variance over REINFORCE's against the tilt away from the reference, for both references."""
    made, axes = plotting.figure(2, 1, height=4.4, sharex=True)
    for ax, family in zip(axes, FAMILIES, strict=True):
        for k in np.unique(table["draws"]):
            rows = table.where(family=family, draws=k)
            key = _LOOKS[int(k)]
            x = rows.where(estimator=moments.RLOO)["tilt"]
            ax.plot(x, ratios(rows)[0], plotting.MARKERS[key], color=plotting.COLORS[key], label=f"k = {k}", ms=4)
            predicted = [rows.where(estimator=name)["predicted"] for name in (moments.RLOO, moments.REINFORCE)]
            plotting.theory(ax, x, predicted[0] / predicted[1], key)
            shown = rows.where(estimator=moments.RLOO)["estimates"] > 0
            drawn = [rows.where(estimator=name)["simulated"][shown] for name in (moments.RLOO, moments.REINFORCE)]
            ax.plot(x[shown], drawn[0] / drawn[1], "o", ms=9, mfc="none", mew=0.8, color="#000000", label="simulated")
        rows = table.where(family=family, draws=np.max(table["draws"]))
        x = rows.where(estimator=moments.RLOO)["tilt"]
        ax.plot(x, ratios(rows)[1], ":", color="#000000", linewidth=0.9, label=r"$k\to\infty$")
        ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", yscale="log", ylabel="variance, RLOO / REINFORCE")
    axes[0].set_title("uniform reference: RLOO is worse, for every k")
    axes[1].set_title("far from a peaked reference RLOO is better")
    axes[1].set_xlabel(r"tilt $t$ of $\pi \propto \pi_{\rm ref}\,e^{tu}$")
    plotting.legend(made, columns=3, theory_label="closed form")
    estimates = table["estimates"].max()
    ends = [table.where(family=family)["divergence"].max() for family in FAMILIES]
    plotting.caption(
        made,
        "Gradient of KL(pi||pi_ref) in the logits from k draws of pi, f = log(pi/pi_ref), four actions; pi_ref uniform "
        f"or (.97, .01, .01, .01), KL up to {ends[0]:.1f} and {ends[1]:.1f}. Filled: all 4^k samples. Circles: "
        f"{estimates} simulated estimates. Dashed: Hoeffding's variance of the U-statistic over Var(f grad log pi)/k.",
    )
    return made
