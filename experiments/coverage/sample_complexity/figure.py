"""The figure of sample_complexity, from its table."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table


def plot(table: Table):
    """Labels against the initial price at the least target, and against the target from the farthest start."""
    made, axes = plotting.figure(2, 1, height=4.8)
    arms = dict.fromkeys(table["arm"].tolist())
    start, target = table["start"].max(), table["target"].min()
    finest, farthest = table.where(target=target), table.where(start=start)
    for ax, drawn, x, name in (
        (axes[0], finest, "price", "price of the first sampler, $C_F(\\pi_0)$"),
        (axes[1], farthest, "target", "KL to be reached, $\\epsilon$"),
    ):
        for arm in arms:
            rows = drawn.where(arm=arm)
            low, middle, high = (rows["labels"] + shift * rows["labels_se"] for shift in (-4, 0, 4))
            plotting.band(ax, rows[x], np.stack([low, middle, high]), arm)
            plotting.theory(ax, rows[x], rows["predicted"], arm)
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="labels in total")
    axes[0].set_title(f"to KL {target:.0e}")
    axes[1].set_title(f"from $\\theta_0=-{start:g}$, $C_F(\\pi_0)$ = {farthest['price'][0]:.0e}")
    axes[1].invert_xaxis()
    plotting.legend(made, columns=2, theory_label="predicted as eps to 0")
    rounds = ", ".join(f"{plotting.LABELS[arm]} {finest.where(arm=arm)['rounds'][0]}" for arm in arms)
    plotting.caption(
        made,
        f"Linear softmax ({finest['instance'][0]}): labels, over all rounds, at which the median KL reaches eps, by "
        f"bisection on the batch; band: 4 standard errors ({table['seeds'].min()} seeds, {finest['seeds'][0]} at the "
        f"least eps). Rounds: {rounds}; ridge {table['ridge'][0]:g} on the sum of losses, centre the last iterate; "
        "fresh batches unless pooled.",
    )
    return made
