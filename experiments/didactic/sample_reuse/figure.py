"""The figure of sample_reuse: rows of ways to tune, columns of bandits."""

from collections.abc import Mapping

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.sample_reuse.runs import EACH, FIXED
from experiments.didactic.shared.looks import curves


def plot(tables: Mapping[str, Table]):
    """What is missing to the largest reward, against the gradient steps on each batch."""
    table = tables["runs"]
    made, axes = plotting.figure(2, 2, height=4.0, sharex=True, sharey=True)
    for line, (mode, says) in zip(axes, {EACH: "own rate", FIXED: "rate of T = 1"}.items(), strict=True):
        for ax, bandit in zip(line, ("R1", "R2"), strict=True):
            rows = table.where(mode=mode, bandit=bandit)
            ax.set(title=f"{bandit}, {says}", yscale="log")
            curves(ax, rows, "method", "reuse", shortfall=True)
        line[0].set_ylabel(r"shortfall $1-E_\pi R$")
    for ax in axes[-1]:
        ax.set_xlabel("steps T per batch")
    plotting.legend(made, columns=3)
    clip = table.where(method="ppo")["clip"][0]
    plotting.caption(
        made,
        f"Tabular policy; {table['num_queries'][0]} reward queries in on-policy batches, T Adam steps on each. Mean of "
        f"{table['seeds'][0]} seeds, bars four standard errors; learning rates tuned on held-out seeds, at each T "
        f"(top) or at T = 1 (bottom). Clip: {clip:g}; REINFORCE has neither ratio nor clip. "
        f"Runs not finite: {table['failed'].sum()}.",
    )
    return made
