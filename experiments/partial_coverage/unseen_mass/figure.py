"""The figure of `unseen_mass`."""

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.unseen_mass.runs import DPO, HYPO, RANDOM, TOLERANCE, UNIFORM


def plot(table: Table):
    """Growth of the unseen mass against the condition."""
    made, ax = plotting.figure(height=2.9)
    for learner, family, key, label, size in (
        (HYPO, RANDOM, "hypo", "HyPO", 2.2),
        (DPO, RANDOM, "dpo", "DPO", 2.2),
        (DPO, UNIFORM, "uniform", "DPO, reference uniform on S", 4.0),
    ):
        rows = table.where(learner=learner, family=family)
        look = {"marker": plotting.MARKERS[key], "color": plotting.COLORS[key], "markersize": size}
        ax.plot(rows["condition"], rows["growth"], linestyle="", alpha=0.6, label=label, **look)
    dpo = table.where(learner=DPO)
    mass = float(dpo["unseen_mass"][0])
    grid = np.linspace(dpo["condition"].min(), dpo["condition"].max(), 200)
    plotting.theory(ax, grid, -np.log(mass + (1 - mass) * np.exp(grid)), "dpo")
    ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
    ax.axvline(0.0, color="#888888", linewidth=0.6, zorder=1)
    ax.set(ylabel=r"$\log\,\pi(U)/\pi_{\mathrm{ref}}(U)$")
    ax.set_xlabel(r"$\log\,\Sigma_S\,\mathrm{ref}_a e^{(r_a-\bar r_S)/\beta}/\mathrm{ref}(S)$")
    plotting.legend(made, columns=2, theory_label="closed form, DPO")
    hypo = table.where(learner=HYPO, family=RANDOM)
    penalty, gained = float(hypo["penalty"][0]), float((hypo["least"] > 0).mean())
    drawn, failed = dpo.where(family=RANDOM), (table["gradient_norm"] > TOLERANCE).sum()
    plotting.caption(
        made,
        f"{len(drawn)} random bandits, five seen and two unseen actions (mass {mass:g} under pi_ref), tabular softmax, "
        "population labels; each trained by gradient descent. DPO's unseen mass grows in "
        f"{(drawn['growth'] > 0).mean():.0%} of them, HyPO's (lambda = {penalty:g}) in {gained:.0%} "
        f"(after {hypo['early_steps'][0]} steps: in {(hypo['early'] > 0).mean():.0%}). Not converged: {failed}.",
    )
    return made
