"""The figure of `reward_kl_frontier`: paths in the plane of divergence and reward, a row per family of losses."""

from collections.abc import Mapping

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.reward_kl_frontier.runs import OFFLINE
from experiments.didactic.shared.looks import LOOKS

_FAMILIES = {
    "likelihoods": ("best_of_n", "rwr", "awr", "pref_ft"),
    "negative terms": ("best_of_n_negative", "best_of_n_worst", "dpo", "ipo"),
    "policy gradients": ("reinforce", "reinforce_running", "ppo", "ppo_unclipped"),
}


def plot(tables: Mapping[str, Table]):
    """Mean paths; dashed, the frontier; black crosses, the limits of infinite data."""
    made, axes = plotting.figure(3, 2, height=6.4, sharex="col", sharey="col")
    for line, (family, names) in zip(axes, _FAMILIES.items(), strict=True):
        for ax, bandit in zip(line, ("R1", "R2"), strict=True):
            paths, limits, curve = (tables[part].where(bandit=bandit) for part in ("paths", "limits", "frontier"))
            for name in names:
                mine = paths.where(algorithm=name)
                _draw_paths(ax, mine, name)
                # Of the limits that the table has, those of the numbers that are run.
                shown = (limits["algorithm"] == name) & np.isin(limits["value"], mine["value"])
                limit = limits["kl"][shown], limits["reward"][shown]
                ax.plot(*limit, "x", color="#000000", markersize=4, markeredgewidth=1.0, zorder=5)
            plotting.theory(ax, curve["kl"], curve["reward"])
            bottom = 0.0 if bandit == "R1" else 0.35
            title = f"${bandit[0]}_{bandit[1]}$, {family}"
            ax.set(xlim=(-0.05, 1.05 * paths["kl"].max()), ylim=(bottom, 1.02), title=title)
        line[0].set_ylabel(r"$E_\pi R$")
    for ax in axes[-1]:
        ax.set_xlabel(r"KL$(\pi\,\|\,\pi_{\mathrm{ref}})$")
    plotting.legend(made, columns=3, theory_label="frontier")
    plotting.caption(made, _caption(tables["paths"], tables["ends"]))
    return made


def _caption(paths: Table, ends: Table) -> str:
    def own(name: str) -> str:
        return " and ".join(f"{value:g}" for value in np.unique(ends.where(algorithm=name)["value"]))

    ppo = ends.where(algorithm="ppo")
    return (
        f"Tabular softmax, {paths['step'].max():.0f} Adam steps of {ppo['num_states'][0]} new states with "
        f"{ppo['num_samples'][0]} draws (PPO: {ppo['reuse'][0]} steps on each batch), mean over "
        f"{ppo['seeds'][0]:.0f} seeds; rates tuned on held-out seeds for the last reward, less REINFORCE's KL penalty "
        f"({own('reinforce')}; running mean: that baseline, {own('reinforce_running')}). Filled: draws of the "
        f"reference; open: of the policy. RWR, AWR, DPO: beta {own('rwr')}; IPO: target {own('ipo')}; negative terms: "
        f"weight {own('best_of_n_negative')}. x: infinite data. Records with a seed above the frontier: "
        f"{(paths['above_bound'] > 1e-12).sum()}."
    )


def _draw_paths(ax, paths: Table, name: str) -> None:
    key, label = LOOKS[name]
    arms = dict.fromkeys(zip(paths["sampler"].tolist(), paths["value"].tolist(), strict=True))
    for place, (sampler, value) in enumerate(arms):
        mine = paths.where(sampler=sampler, value=value)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linewidth": 0.9}
        look |= {"markerfacecolor": look["color"] if sampler == OFFLINE else "white"}
        named = None if place else label
        ax.plot(mine["kl"], mine["reward"], label=named, markeredgewidth=0.7, markersize=2.6, **look)
