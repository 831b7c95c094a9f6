"""The figure of neural_headline."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.shared.looks import LOOKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OFFLINE, ON_POLICY = "offline", "on-policy"


def plot(table: Table) -> "Figure":
    """Reward after training, a line per learner, R1 beside R2."""
    made, axes = plotting.figure(1, 2, height=2.3, sharey=True, sharex=True)
    first = table.where(bandit="R1")
    for ax, bandit in zip(axes, ("R1", "R2"), strict=True):
        rows = table.where(bandit=bandit)
        for place in range(len(rows)):
            key, _ = LOOKS[str(rows["algorithm"][place])]
            offline = rows["sampling"][place] == OFFLINE
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markersize": 5}
            look |= {"markerfacecolor": "white", "markeredgewidth": 1.0} if offline else {}
            spread = [[rows["reward"][place] - rows["reward_low"][place]], [0.0]]
            spread[1][0] = rows["reward_high"][place] - rows["reward"][place]
            # The mean of skewed runs may lie outside their quantiles.
            spread = np.maximum(spread, 0.0)
            ax.errorbar(rows["reward"][place : place + 1], [-place], xerr=spread, linewidth=1.2, **look)
        ax.axvline(rows["best_of_ten"][0], color="#000000", linestyle=(0, (4, 2)), linewidth=0.9, zorder=1)
        ax.axvline(rows["reference_reward"][0], color="#666666", linestyle=":", linewidth=0.9, zorder=1)
        ax.set(title=bandit, xlim=(-0.02, 1.04), xlabel=r"reward $E_\pi R$")
    names = [f"{LOOKS[str(a)][1]}, {s}" for a, s in zip(first["algorithm"], first["sampling"], strict=True)]
    axes[0].set_yticks(-np.arange(len(names)), names)
    axes[0].set_ylim(-len(names) + 0.5, 0.5)
    plotting.caption(
        made,
        f"Neural policy (MLP, float32): {table['num_steps'][0]} Adam steps, {table['num_queries'][0]} reward queries "
        f"each. Mean of {table['seeds'][0]} seeds, bars 10% to 90% of them; learning rate tuned on held-out seeds; "
        f"open: offline. Dotted: reference; dashed: the best of ten of its draws. "
        f"Runs not finite: {table['failed'].sum()}.",
    )
    return made
