"""The figure of sample_complexity, from its table."""

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.coverage.sample_complexity import runs


def plot(table: Table):
    made, axes = plotting.figure(2, 1, height=4.8)
    start, target = float(table["start"].max()), float(table["target"].min())
    for ax, fixed, x, name in (
        (axes[0], {"target": target}, "price", "price of the first sampler, $C_F(\\pi_0)$"),
        (axes[1], {"start": start}, "target", "KL to be reached, $\\epsilon$"),
    ):
        for arm in dict.fromkeys(table["arm"]):
            rows = table.where(arm=arm, **fixed)
            low, middle, high = (rows["labels"] + shift * rows["labels_se"] for shift in (-4, 0, 4))
            plotting.band(ax, rows[x], np.stack([low, middle, high]), arm)
            plotting.theory(ax, rows[x], rows["predicted"], arm)
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="labels in total")
    axes[0].set_title(f"to KL {target:.0e}")
    axes[1].set_title(f"from $\\theta_0=-{start:g}$, $C_F(\\pi_0)$ = {table.where(start=start)['price'][0]:.0e}")
    axes[1].invert_xaxis()
    plotting.legend(made, columns=2, theory_label="predicted as eps to 0")
    rows = table.where(arm="on_policy", target=target)
    plotting.caption(
        made,
        "Staircases, linear softmax: labels, over all rounds, at which the median KL reaches eps, by bisection on the "
        f"batch; band: 4 standard errors ({table['seeds'].min()} seeds, {rows['seeds'][0]} at the least eps). Rounds: "
        + ", ".join(f"{plotting.LABELS[arm]} {rounds}" for arm, (_, rounds) in runs.ARMS.items())
        + f"; ridge {rows['ridge'][0]:g} on the sum of losses, centre the last iterate; fresh batches unless pooled.",
    )
    return made
