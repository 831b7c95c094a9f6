"""The figure of on_policyness: rows of budgets, columns of bandits."""

from collections.abc import Mapping

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.on_policyness.runs import BUDGETS, COMPUTE, STEPS
from experiments.didactic.shared.looks import curves


def plot(tables: Mapping[str, Table]):
    """Mean reward after training against the number of collections; the reference's best of N dashed."""
    table = tables["runs"]
    made, axes = plotting.figure(3, 2, height=5.2, sharex=True, sharey=True)
    for line, budget in zip(axes, BUDGETS, strict=True):
        for ax, bandit in zip(line, ("R1", "R2"), strict=True):
            rows = table.where(budget=budget, bandit=bandit)
            curves(ax, rows, "algorithm", "collections")
            ends = rows["collections"].min(), rows["collections"].max()
            plotting.theory(ax, np.array(ends), tables["bandits"].where(bandit=bandit)["best_of_n"].repeat(2))
            ax.set(ylim=(0, 1.04), title=f"{bandit}, {budget}")
        line[0].set_ylabel(r"reward $E_\pi R$")
    for ax in axes[-1]:
        ax.set_xlabel("collections of fresh draws")
    plotting.legend(made, columns=3, theory_label=f"best of {table['num_samples'][0]}")
    plotting.caption(made, _caption(table))
    return made


def _caption(table: Table) -> str:
    most = table["collections"].max()
    fresh, alone = table.where(collections=most), table.where(collections=table["collections"].min())
    steps, compute = (alone.where(budget=budget) for budget in (STEPS, COMPUTE))
    return (
        f"Tabular policy; mean of {table['seeds'][0]} seeds, bars four standard errors; learning rate tuned on "
        f"held-out seeds at each point. Right ends are the same runs: {most} steps, each on "
        f"{table['num_states'][0] * table['num_samples'][0]} new draws. "
        f"To the left: as many draws and steps, from older policies (top; at 1, pi_ref); as many steps, fewer batches "
        f"(middle: {steps['num_queries'][0]} to {fresh['num_queries'][0]} draws); or the draws saved spent on up to "
        f"{compute['num_steps'][0]} steps (bottom; a draw costs {table['draw_price'][0]} gradient passes). "
        f"Runs not finite: {table['failed'].sum()}; best rate at an end of the grid: {table['rate_at_edge'].sum()} of "
        f"{len(table)}."
    )
