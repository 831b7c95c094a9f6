"""The figure: KL and mass at the norm cap over rounds, simulated and exact."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics


def plot(table: Table):
    """One column per arm: KL at the largest beta, median and band, above the mass at the cap for all betas."""
    arms = arms_of(table)
    betas = np.unique(table["beta"])
    made, axes = plotting.figure(2, len(arms), height=3.4, sharex=True, sharey="row", squeeze=False)
    for (top, bottom), (name, num_pairs) in zip(axes.T, arms, strict=True):
        arm = table.where(arm=name, num_pairs=num_pairs)
        rows = arm.where(beta=betas[-1])
        plotting.band(top, rows["round"], np.stack([rows[f"kl_{level}"] for level in statistics.BAND]), name)
        for level in statistics.BAND:
            plotting.theory(top, rows["round"], rows[f"exact_{level}"], name)
        for beta, filling in zip(betas, ("none", None), strict=False):
            rows = arm.where(beta=beta)
            look = {"color": plotting.COLORS[name], "markerfacecolor": filling, "markeredgewidth": 0.8}
            bottom.plot(rows["round"], rows["absorbed"], plotting.MARKERS[name], **look)
            plotting.theory(bottom, rows["round"], rows["absorbed_exact"], name)
        top.set(title=f"n = {num_pairs}", yscale="log")
        bottom.set(xlabel="round", xticks=np.unique(table["round"]))
    axes[0, 0].set_ylabel(rf"KL($\pi^*\|\pi$), $\beta={betas[-1]:g}$")
    axes[1, 0].set_ylabel(r"P($|\theta|=R$)")
    axes[1, 0].set_ylim(bottom=0)
    plotting.legend(made, columns=3, theory_label="exact")
    target, start, cap = (table[name][0] for name in ("target", "initial", "max_norm"))
    seeds = table["seeds"]
    plotting.caption(
        made,
        f"Two-action chain, theta* = {target:g}, theta_0 = {start:g}, norm cap R = {cap:g}, n labels a round, ridge 0: "
        f"median and 10-90% band (beta = {betas[-1]:g}), and share of the runs at the cap (beta = {betas[0]:g} open, "
        f"{betas[-1]:g} filled), over {seeds.min()} to {seeds.max()} seeds.",
    )
    return made


def arms_of(table: Table, *also: str) -> list[tuple]:
    """The arms of the rows, each once, with their labels a round and the columns ``also``."""
    columns = (table[name].tolist() for name in ("arm", "num_pairs", *also))
    return list(dict.fromkeys(zip(*columns, strict=True)))
