"""The figure of `label_scaling`."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.label_scaling.laws import FIXED, LIFTED
from experiments.partial_coverage.label_scaling.runs import CURVE, LAW

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(table: Table) -> "Figure":
    """gap/beta against n/C_F; gap/p against n p (fixed rewards); gap/beta against n p^(1+beta) (lifted)."""
    made, axes = plotting.figure(3, 1, height=6.6)
    curves = table.where(kind=CURVE)
    masses = np.sort(np.unique(curves["mass"]))[::-1]
    betas = np.unique(curves["beta"])
    for regime, key in ((FIXED, "dpo"), (LIFTED, "reference")):
        for mass, shade in zip(masses, plotting.shades(key, len(masses)), strict=True):
            for beta, filling in zip(betas, ("none", shade), strict=False):
                rows = curves.where(regime=regime, mass=mass, beta=beta)
                label = f"{regime}, p = {mass:g}" if beta == betas[-1] else None
                look = {"color": shade, "markerfacecolor": filling, "markeredgewidth": 0.8, "linewidth": 0.7}
                own, unit = (axes[1], mass) if regime == FIXED else (axes[2], mass ** (1 + beta))
                value = rows["gap"] / (mass if regime == FIXED else beta)
                marker = "o" if regime == FIXED else "s"
                axes[0].plot(rows["labels"] / rows["price"], rows["gap"] / beta, f"{marker}-", label=label, **look)
                own.plot(rows["labels"] * unit, value, f"{marker}-", **look)
    few = np.geomspace(3, 1e8, 50)
    plotting.theory(axes[0], few, 0.5 / few, label=r"$\frac{1}{2} C_F/n$")
    span = np.geomspace(0.2, 200, 40)
    for beta in betas:
        law = table.where(kind=LAW, beta=beta)
        plotting.theory(axes[1], law["labels"], law["gap"], "dpo", label=r"exact law, $p\to0$")
        plotting.theory(axes[2], span, 1 / (16 * beta**2 * span), "reference", label=r"$1/(16\beta^2np^{1+\beta})$")
    axes[0].set(xlabel=r"$n/C_F$", ylabel=r"gap$/\beta$")
    axes[1].set(xlabel=r"$n\,p$", ylabel=r"gap$/p$, fixed rewards")
    axes[2].set(xlabel=r"$n\,p^{1+\beta}$", ylabel=r"gap$/\beta$, lifted rewards")
    for ax in axes:
        ax.set(xscale="log", yscale="log")
    plotting.legend(made)
    plotting.caption(
        made,
        f"Two actions, mass p of pi_ref on the rare one; offline DPO, linear softmax, mean over {curves['seeds'][0]} "
        f"seeds; beta = {betas[0]:g} (open) and {betas[-1]:g} (filled). Fixed: its reward is 1; lifted: pi* = 1/2 on "
        "it. With fixed rewards C_F stays bounded as p falls, so n above C_F alone does not reach the dashed line: "
        "n p has to be large. Estimates capped at |theta*| + 1.",
    )
    return made
