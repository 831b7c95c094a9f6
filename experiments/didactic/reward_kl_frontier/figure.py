"""The figure of `reward_kl_frontier`: paths in the plane of divergence and reward, a column per family of losses."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.reward_kl_frontier.runs import OFFLINE

_LIKELIHOODS = ("best_of_n", "rwr", "awr", "pref_ft")
_NEGATIVE = ("best_of_n_negative", "best_of_n_worst", "dpo", "ipo")
_GRADIENTS = ("reinforce", "reinforce_running", "ppo", "ppo_unclipped")
# Of a column: its algorithms, and the titles on R1 and R2.
_COLUMNS = (
    (_LIKELIHOODS, "$R_1$, likelihoods: offline, ranks\nend far below the frontier", "$R_2$, likelihoods: near it"),
    (_NEGATIVE, "$R_1$, negative terms: more reward,\nat more divergence", "$R_2$, negative terms: near it"),
    (_GRADIENTS, "$R_1$, policy gradients: with a KL\npenalty they end on it", "$R_2$, policy gradients: the same"),
)


def plot(tables: Mapping[str, Table]):
    """Mean paths with a marker where they end; dashed, the frontier; crosses, the limits of infinite data."""
    made, axes = plotting.figure(
        2, len(_COLUMNS), width=plotting.PAGE_WIDTH, height=5.2, sharex="row", sharey="row", squeeze=False
    )
    for line, bandit in zip(axes, ("R1", "R2"), strict=True):
        paths, limits, curve = (tables[part].where(bandit=bandit) for part in ("paths", "limits", "frontier"))
        for ax, (names, *titles) in zip(line, _COLUMNS, strict=True):
            for name in names:
                _draw(ax, paths.where(algorithm=name), limits, name)
            plotting.theory(ax, curve["kl"], curve["reward"])
            ax.set_title(titles[bandit == "R2"])
            ax.set_xlabel(r"KL($\pi\,\|\,\pi_{\mathrm{ref}}$) [nats]")
        most = paths["kl"].max()
        line[0].set(xlim=(-0.02 * most, 1.06 * most), ylim=(0.9 * paths["reward"].min(), 1.03))
        line[0].set_ylabel(r"reward $E_\pi R$")
    # The legend fills its columns one by one: a family above its panels, with what all of them share below.
    shared = (
        plotting.proxy("its limit, infinite data", marker="x", filled=False),
        plotting.proxy("end, draws of the reference", marker="o"),
        plotting.proxy("end, own draws", marker="o", filled=False),
    )
    for ax, entry in zip(axes[0], shared, strict=True):
        ax.add_line(entry)
    plotting.legend(made, columns=3, theory_label="frontier")
    plotting.caption(made, _caption(tables))
    return made


def _draw(ax: Any, paths: Table, limits: Table, name: str) -> None:
    color = plotting.COLORS[name]
    arms = dict.fromkeys(zip(paths["sampler"].tolist(), paths["value"].tolist(), strict=True))
    for sampler, value in sorted(arms, key=lambda arm: arm[0] == OFFLINE):
        mine = paths.where(sampler=sampler, value=value)
        face = color if sampler == OFFLINE else "white"
        look = {"color": color, "marker": plotting.MARKERS[name], "markersize": 5, "markeredgewidth": 1.0}
        ax.plot(mine["kl"], mine["reward"], markerfacecolor=face, markevery=[-1], linewidth=1.0, **look)
    # One entry of the legend for both kinds of ends.
    ax.plot([], [], color=color, marker=plotting.MARKERS[name], label=plotting.LABELS[name])
    # Of the limits that the table has, those of the numbers that are run.
    shown = (limits["algorithm"] == name) & np.isin(limits["value"], paths["value"])
    ax.plot(
        limits["kl"][shown],
        limits["reward"][shown],
        "x",
        color=color,
        markersize=7,
        markeredgewidth=1.5,
        markerfacecolor="none",
        zorder=5,
    )


def _caption(tables: Mapping[str, Table]) -> str:
    paths, ends, frontier = (tables[part] for part in ("paths", "ends", "frontier"))
    drawn = min(frontier.where(bandit=bandit)["reward"].max() for bandit in ("R1", "R2"))

    def own(name: str) -> str:
        return " and ".join(plotting.number(value) for value in np.unique(ends.where(algorithm=name)["value"]))

    ppo = ends.where(algorithm="ppo")
    return (
        f"Tabular softmax, {paths['step'].max():.0f} Adam steps of {ppo['num_states'][0]} new states with "
        f"{ppo['num_samples'][0]} draws (PPO: {ppo['reuse'][0]} steps each): means over {ppo['seeds'][0]:.0f} seeds. "
        f"Learning rates tuned on held-out seeds. KL penalties of REINFORCE {own('reinforce')} (running mean: "
        rf"{own('reinforce_running')}), RWR's, AWR's and DPO's $\beta$ {own('rwr')}, IPO's target {own('ipo')}, "
        f"negative weights {own('best_of_n_negative')}. The frontier goes on from {drawn:.2f} to 1."
        + plotting.only_if((paths["above_bound"] > 1e-12).sum(), " Records with a seed above the frontier: {}.")
    )
