"""The figure of misspecification, from its table."""

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.coverage.misspecification.runs import NOISES, SAMPLERS


def plot(table: Table):
    made, axes = plotting.figure(3, 1, height=5.6)
    for ax, (noise, label) in zip(axes, NOISES.items(), strict=True):
        for sampler in SAMPLERS:
            rows = table.where(noise=noise, sampler=sampler)
            bands = np.stack([rows["kl"] + shift * rows["kl_se"] for shift in (-4, 0, 4)])
            plotting.band(ax, rows["strength"], bands, sampler)
            plotting.theory(ax, rows["strength"], rows["predicted"], sampler)
        ax.set(yscale="log", xlabel=label, ylabel=r"KL($\pi^*\|\pi_K$)")
    plotting.legend(made, columns=2, theory_label="pseudo-true policy")
    plotting.caption(
        made,
        f"Staircase, 4 stairs, linear softmax: what is left of the KL at {table['num_pairs'][0]:.0e} labels a round, "
        f"mean over {table['seeds'][0]} seeds with four standard errors. On-policy fits the last batch, others all. "
        "Cycles: sigma(gap +- strength), the sign by the parity of i - j.",
    )
    return made
