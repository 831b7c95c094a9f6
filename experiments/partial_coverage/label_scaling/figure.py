"""The figure of `label_scaling`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.label_scaling.runs import FIXED, LIFTED

# Colour and marker of a regime; of another instance those of the first.
_LOOKS = {FIXED: ("dpo", "o"), LIFTED: ("reference", "s")}


def plot(tables: dict[str, Table]):
    """gap/beta against n/C_F; gap/p against n p (fixed rewards); gap/beta against n p^(1+beta) (lifted)."""
    curves, law = tables["curves"], tables.get("law")
    made, axes = plotting.figure(3 if law else 1, 1, height=6.6 if law else 2.6, squeeze=False)
    axes, betas = axes[:, 0], np.unique(curves["beta"])
    for regime in np.unique(curves["regime"]):
        key, marker = _LOOKS.get(regime, _LOOKS[FIXED])
        masses = np.unique(curves.where(regime=regime)["mass"])[::-1]
        for mass, shade in zip(masses, plotting.shades(key, len(masses)), strict=True):
            for beta in betas:
                rows = curves.where(regime=regime, mass=mass, beta=beta)
                label = f"{regime}, p = {mass:g}" if beta == betas[-1] else None
                filling = "none" if beta == betas[0] else shade
                look = {"color": shade, "markerfacecolor": filling, "markeredgewidth": 0.8, "linewidth": 0.7}
                axes[0].plot(rows["labels"] / rows["price"], rows["gap"] / beta, f"{marker}-", label=label, **look)
                if regime == FIXED:
                    axes[1].plot(rows["labels"] * mass, rows["gap"] / mass, f"{marker}-", **look)
                elif regime == LIFTED:
                    axes[2].plot(rows["labels"] * mass ** (1 + beta), rows["gap"] / beta, f"{marker}-", **look)
    few = np.geomspace(3, 1e8, 50)
    plotting.theory(axes[0], few, 0.5 / few, label=r"$\frac{1}{2} C_F/n$")
    axes[0].set(xlabel=r"$n/C_F$", ylabel=r"gap$/\beta$")
    bandit, end = f"{curves['regime'][0]}", ""
    if law:
        span = np.geomspace(0.2, 200, 40)
        for beta in betas:
            own, lifted = law.where(beta=beta), 1 / (16 * beta**2 * span)
            plotting.theory(axes[1], own["rate"], own["predicted"], "dpo", label=r"exact law, $p\to0$")
            plotting.theory(axes[2], span, lifted, "reference", label=r"$1/(16\beta^2np^{1+\beta})$")
        axes[1].set(xlabel=r"$n\,p$", ylabel=r"gap$/p$, fixed rewards")
        axes[2].set(xlabel=r"$n\,p^{1+\beta}$", ylabel=r"gap$/\beta$, lifted rewards")
        bandit = "Two actions, mass p of pi_ref on the rare one"
        end = (
            f" Fixed: its reward is {law['reward'][0]:g}; lifted: pi* = 1/2 on it. With fixed rewards C_F stays "
            "bounded as p falls, so n above C_F alone does not reach the dashed line: n p has to be large. Estimates "
            f"capped at |theta*| + {law['margin'][0]:g}."
        )
    for ax in axes:
        ax.set(xscale="log", yscale="log")
    plotting.legend(made)
    temperatures = f"{betas[0]:g}" if len(betas) == 1 else f"{betas[0]:g} (open) and {betas[-1]:g} (filled)"
    plotting.caption(
        made,
        f"{bandit}; offline DPO, linear softmax, mean over {curves['seeds'][0]} seeds; beta = {temperatures}.{end}",
    )
    return made
