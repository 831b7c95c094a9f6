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
    width, height = (plotting.PAGE_WIDTH, 3.1) if law else (plotting.COLUMN_WIDTH, 2.8)
    made, axes = plotting.figure(1, 3 if law else 1, width=width, height=height, squeeze=False)
    axes, betas = axes[0], np.unique(curves["beta"])
    for regime in np.unique(curves["regime"]):
        _regime(axes, regime, curves.where(regime=regime), betas)
    most = (curves["labels"] / curves["price"]).max()
    few = np.geomspace(min(3, most / 10), 4 * most, 50)
    line = plotting.theory(axes[0], few, 0.5 / few)
    plotting.direct_label(line, r"$\frac{1}{2}C_F/n$", place=30, offset=(6, 6))
    axes[0].set(xlabel=r"labels over price, $n/C_F$", ylabel=r"gap $J(\pi^*)-J(\pi)$ [$\beta$]")
    axes[0].set_title("$n$ above $C_F$ does not ensure\nslope $-1$: $n\\,p$ has to be large" if law else "")
    for ax in axes:
        ax.set(xscale="log", yscale="log")
    bandit, end = f"{curves['regime'][0]}", ""
    if law:
        _rare(axes, law, betas)
        bandit = "Two actions, mass $p$ of $\\pi_{\\mathrm{ref}}$ on the rare one"
        end = (
            f" Fixed: its reward is {law['reward'][0]:g}, and $C_F$ stays bounded as $p$ falls; lifted: $\\pi^*$ = 1/2 "
            f"on it. Estimates capped at $|\\theta^*|$ + {law['margin'][0]:g}."
        )
    regimes = np.unique(curves["regime"]) if len(betas) > 1 else ()
    looks = {regime: {"marker": _LOOKS.get(regime, _LOOKS[FIXED])[1], "filled": False} for regime in regimes}
    opened = [plotting.proxy(rf"{regime}, $\beta$ = {betas[0]:g}", **look) for regime, look in looks.items()]
    plotting.legend(made, columns=4 if law else 2, theory_label="limit", extra=opened)
    temperatures = f"{betas[0]:g}" if len(betas) == 1 else f"{betas[0]:g} (open) and {betas[-1]:g} (filled)"
    plotting.caption(
        made,
        f"{bandit}; offline DPO, linear softmax, means over {curves['seeds'][0]:,} seeds, $\\beta$ = {temperatures}. "
        f"{plotting.BARS}{end}",
    )
    return made


def _regime(axes, regime: str, curves: Table, betas: np.ndarray) -> None:
    key, marker = _LOOKS.get(regime, _LOOKS[FIXED])
    masses = np.unique(curves["mass"])[::-1]
    # Smaller markers over larger ones: where the curves agree, all are seen.
    sizes = np.linspace(4.5, 2.5, len(masses))
    for mass, shade, size in zip(masses, plotting.shades(key, len(masses)), sizes, strict=True):
        for beta in betas:
            rows = curves.where(mass=mass, beta=beta)
            filled = len(betas) == 1 or beta == betas[-1]
            look = {"color": shade, "marker": marker, "markerfacecolor": shade if filled else "none"}
            look |= {"markeredgewidth": 0.8, "linewidth": 0.7, "elinewidth": 0.8, "markersize": size}
            look["label"] = f"{regime}, $p$ = {plotting.number(mass)}" if beta == betas[-1] else None
            over_beta = rows["gap"] / beta, plotting.NUM_ERRORS * rows["gap_se"] / beta
            over_mass = rows["gap"] / mass, plotting.NUM_ERRORS * rows["gap_se"] / mass
            axes[0].errorbar(rows["labels"] / rows["price"], *over_beta, **look)
            if regime == FIXED:
                axes[1].errorbar(rows["labels"] * mass, *over_mass, **look)
            elif regime == LIFTED:
                axes[2].errorbar(rows["labels"] * mass ** (1 + beta), *over_beta, **look)


def _rare(axes, law: Table, betas: np.ndarray) -> None:
    """What rare actions do: the exact law at fixed rewards, the floor at lifted ones."""
    span = np.geomspace(0.2, 200, 40)
    for beta in betas:
        own = law.where(beta=beta)
        exact = plotting.theory(axes[1], own["rate"], own["predicted"], "dpo")
        floor = plotting.theory(axes[2], span, 1 / (16 * beta**2 * span), "reference")
        if beta == betas[-1]:
            plotting.direct_label(exact, "exact law,\n$p\\to 0$", place=0, offset=(2, -18))
            plotting.direct_label(floor, r"$1/(16\beta^2np^{1+\beta})$", place=20, offset=(-4, -8))
    axes[1].set(xlabel=r"$n\,p$ [labels]", ylabel=r"gap$/p$ [reward]")
    axes[1].set_title("Fixed rewards: $n\\,p$\ndecides as $p$ falls")
    axes[2].set(xlabel=r"$n\,p^{1+\beta}$ [labels]", ylabel=r"gap [$\beta$]")
    axes[2].set_title("Rewards that lift the action:\n$n\\,p^{1+\\beta}$ decides")
