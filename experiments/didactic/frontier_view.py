"""The figure of `reward_kl_frontier`: paths in the plane of divergence and reward, one panel per problem."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.method_looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ARMS = (
    ("reinforce", "on_policy"),
    ("best_of_n", "on_policy"),
    ("dpo", "on_policy"),
    ("rwr", "offline"),
    ("best_of_n", "offline"),
    ("pref_ft", "offline"),
    ("ipo", "offline"),
    ("dpo", "offline"),
)
_TITLES = {"R1": "$R_1$: peak 70, rare under the reference", "R2": "$R_2$: peak 20, near its mode"}


def plot(table: Table) -> "Figure":
    """Mean paths; dashed, the frontier; grey crosses, the limits of infinite data."""
    made, axes = plotting.figure(2, 1, height=5.6)
    paths, limits = table.where(part="path"), table.where(part="limit")
    for ax, (case, title) in zip(axes, _TITLES.items(), strict=True):
        for algorithm, sampler in _ARMS:
            rows = paths.where(case=case, algorithm=algorithm, sampler=sampler)
            key, label = LOOKS[algorithm]
            name = f"{label}, on-policy" if sampler == "on_policy" else label
            face = plotting.COLORS[key] if sampler == "offline" else "white"
            for place, value in enumerate(np.unique(rows["value"])):
                mine = rows.where(value=value)
                look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markerfacecolor": face}
                look |= {"linewidth": 1.0, "markeredgewidth": 0.8, "markersize": 2.8}
                ax.plot(mine["kl"], mine["reward"], label=name if place == 0 else None, **look)
        curve = table.where(part="frontier", case=case)
        plotting.theory(ax, curve["kl"], curve["reward"])
        for name in ("best_of_n", "pref_ft", "ipo"):
            rows = limits.where(case=case, algorithm=name)
            shown = {"best_of_n": 10.0, "pref_ft": 2.0, "ipo": 3.0}[name]
            one = rows.where(value=shown)
            ax.plot(one["kl"], one["reward"], "x", color="#000000", markersize=5, markeredgewidth=1.2, zorder=5)
            order = np.argsort(rows["value"])
            ax.plot(rows["kl"][order], rows["reward"][order], ":", color=plotting.COLORS[LOOKS[name][0]], linewidth=0.9)
        widest = paths.where(case=case)["kl"].max()
        ax.set(xlim=(-0.05, 1.05 * widest), ylim=(0 if case == "R1" else 0.35, 1.02), title=title, ylabel=r"$E_\pi R$")
    axes[-1].set_xlabel(r"KL$(\pi\,\|\,\pi_{\mathrm{ref}})$")
    plotting.legend(made, columns=2, theory_label="frontier")
    above = int((paths["dual"] > 1e-12).sum())
    plotting.caption(
        made,
        f"Tabular softmax, Adam at a rate of 0.03, {paths['step'].max():.0f} steps of 8 new states with 10 draws, mean "
        "over seeds; open markers: draws of the policy. REINFORCE: KL penalties 0.1 and 0.3; RWR: temperatures 0.1 and "
        "0.3; DPO: beta 0.1; IPO: target 3. Dotted: infinite data, by N or target; x: at the one that is run. Records "
        f"with a seed above the frontier: {above}.",
    )
    return made
