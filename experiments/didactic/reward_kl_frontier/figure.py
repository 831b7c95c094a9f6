"""The figure of `reward_kl_frontier`: paths in the plane of divergence and reward, a row per family of losses."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAMILIES = {
    "likelihoods": ("best_of_n", "rwr", "awr", "pref_ft"),
    "negative terms": ("best_of_n_negative", "best_of_n_worst", "dpo", "ipo"),
    "policy gradients": ("reinforce", "reinforce_running", "ppo", "ppo_unclipped"),
}

# Of the limits of infinite data that the table has, those of the numbers that are run.
_SHOWN = {"best_of_n": 10.0, "ipo": 3.0}


def plot(table: Table) -> "Figure":
    """Mean paths; dashed, the frontier; black crosses, the limits of infinite data."""
    made, axes = plotting.figure(3, 2, height=6.4, sharex="col", sharey="col")
    for line, (family, names) in zip(axes, _FAMILIES.items(), strict=True):
        for ax, case in zip(line, ("R1", "R2"), strict=True):
            rows = table.where(case=case)
            for name in names:
                _draw_paths(ax, rows.where(part="path", algorithm=name), name)
                shown = (rows["part"] == "limit") & (rows["algorithm"] == name)
                shown &= np.isin(rows["value"], _SHOWN.get(name, rows["value"]))
                limit = rows["kl"][shown], rows["reward"][shown]
                ax.plot(*limit, "x", color="#000000", markersize=4, markeredgewidth=1.0, zorder=5)
            curve = rows.where(part="frontier")
            plotting.theory(ax, curve["kl"], curve["reward"])
            widest = rows.where(part="path")["kl"].max()
            bottom = 0.0 if case == "R1" else 0.35
            ax.set(xlim=(-0.05, 1.05 * widest), ylim=(bottom, 1.02), title=f"${case[0]}_{case[1]}$, {family}")
        line[0].set_ylabel(r"$E_\pi R$")
    for ax in axes[-1]:
        ax.set_xlabel(r"KL$(\pi\,\|\,\pi_{\mathrm{ref}})$")
    plotting.legend(made, columns=3, theory_label="frontier")
    paths = table.where(part="path")
    above = int((paths["dual"] > 1e-12).sum())
    plotting.caption(
        made,
        f"Tabular softmax, {paths['step'].max():.0f} Adam steps of 8 new states with 10 draws (PPO: 4 steps on each "
        f"batch), mean over {paths['seeds'].max():.0f} seeds; rates tuned on held-out seeds for the last reward, less "
        "REINFORCE's KL penalty (0.1 and 0.3; running mean: that baseline, 0.1). Filled: draws of the reference; open: "
        "of the policy. RWR, AWR, DPO: beta 0.1; IPO: target 3; negative terms: weight 0.5. x: infinite data. Records "
        f"with a seed above the frontier: {above}.",
    )
    return made


def _draw_paths(ax: "Axes", paths: Table, name: str) -> None:
    key, label = LOOKS[name]
    arms = dict.fromkeys(zip(paths["sampler"].tolist(), paths["value"].tolist(), strict=True))
    filled = "offline" in paths["sampler"]
    for sampler, value in arms:
        mine = paths.where(sampler=sampler, value=value)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linewidth": 0.9}
        look |= {"markerfacecolor": look["color"] if sampler == "offline" else "white"}
        named = label if sampler == "offline" or not filled else None
        ax.plot(mine["kl"], mine["reward"], label=named, markeredgewidth=0.7, markersize=2.6, **look)
        if not filled:
            filled = True
