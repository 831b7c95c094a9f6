"""The figure: KL and mass at the norm cap over rounds, simulated and exact."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import statistics
from banditlab.store import Table
from experiments.foundation.exact_chain.checks import arms_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(table: Table) -> "Figure":
    """One column per arm: KL at the largest beta, median and band, above the mass at the cap for all betas."""
    arms = _drawn(table)
    betas = np.unique(table["beta"])
    made, axes = plotting.figure(2, len(arms), height=3.4, sharex=True, sharey="row", squeeze=False)
    for (top, bottom), (sampler, num_pairs) in zip(axes.T, arms, strict=True):
        arm = table.where(sampler=sampler, num_pairs=num_pairs)
        rows = arm.where(beta=betas[-1])
        plotting.band(top, rows["round"], np.stack([rows[f"kl_{level}"] for level in statistics.BAND]), sampler)
        for level in statistics.BAND:
            plotting.theory(top, rows["round"], rows[f"exact_{level}"], sampler)
        for beta, filling in zip(betas, ("none", None), strict=False):
            rows = arm.where(beta=beta)
            look = {"color": plotting.COLORS[sampler], "markerfacecolor": filling, "markeredgewidth": 0.8}
            bottom.plot(rows["round"], rows["absorbed"], plotting.MARKERS[sampler], **look)
            plotting.theory(bottom, rows["round"], rows["absorbed_exact"], sampler)
        top.set_title(f"n = {num_pairs}")
        top.set_yscale("log")
        bottom.set_xlabel("round")
        bottom.set_xticks(np.unique(table["round"]))
        bottom.set_ylim(0, 0.75)
    axes[0, 0].set_ylabel(rf"KL($\pi^*\|\pi$), $\beta={betas[-1]:g}$")
    axes[1, 0].set_ylabel(r"P($|\theta|=R$)")
    plotting.legend(made, columns=3, theory_label="exact")
    seeds = table["num_seeds"]
    plotting.caption(
        made,
        "Two-action chain, theta* = 2, theta_0 = -3, norm cap R = 3, n labels a round, ridge 0: median and 10-90% band "
        f"(beta = {betas[-1]:g}), and share of the runs at the cap (beta = {betas[0]:g} open, {betas[-1]:g} "
        f"filled), over {seeds.min()} to {seeds.max()} seeds.",
    )
    return made


def _drawn(table: Table) -> list[tuple[str, int]]:
    return list(dict.fromkeys((sampler, num_pairs) for sampler, num_pairs, _ in arms_of(table)))
