"""The figure of `unseen_mass`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.unseen_mass.runs import RANDOM, TOLERANCE, UNIFORM


def plot(tables: dict[str, Table]):
    """Growth of the unseen mass against the condition."""
    made, ax = plotting.figure(height=2.9)
    dpo, drawn, hypo = tables["dpo"], tables["dpo"].where(reference=RANDOM), tables["hypo"].where(reference=RANDOM)
    for rows, key, label, size in (
        (hypo, "hypo", "HyPO", 2.2),
        (drawn, "dpo", "DPO", 2.2),
        (dpo.where(reference=UNIFORM), "uniform", "DPO, reference uniform on S", 4.0),
    ):
        look = {"marker": plotting.MARKERS[key], "color": plotting.COLORS[key], "markersize": size}
        ax.plot(rows["condition"], rows["growth"], linestyle="", alpha=0.6, label=label, **look)
    mass = float(dpo["unseen_mass"][0])
    grid = np.linspace(dpo["condition"].min(), dpo["condition"].max(), 200)
    plotting.theory(ax, grid, -np.log(mass + (1 - mass) * np.exp(grid)), "dpo")
    ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
    ax.axvline(0.0, color="#888888", linewidth=0.6, zorder=1)
    ax.set(ylabel=r"$\log\,\pi(U)/\pi_{\mathrm{ref}}(U)$")
    ax.set_xlabel(r"$\log\,\Sigma_S\,\mathrm{ref}_a e^{(r_a-\bar r_S)/\beta}/\mathrm{ref}(S)$")
    plotting.legend(made, columns=2, theory_label="closed form, DPO")
    failed = sum((rows["gradient_norm"] > TOLERANCE).sum() for rows in tables.values())
    plotting.caption(
        made,
        f"{len(drawn)} random bandits, {dpo['num_seen'][0]} seen and {dpo['num_unseen'][0]} unseen actions (mass "
        f"{mass:g} under pi_ref), tabular softmax, population labels; each trained by gradient descent. DPO's unseen "
        f"mass grows in {(drawn['growth'] > 0).mean():.0%} of them, HyPO's (lambda = {hypo['penalty'][0]:g}) in "
        f"{(hypo['least'] > 0).mean():.0%} (after {hypo['early_steps'][0]} steps: in {(hypo['early'] > 0).mean():.0%})."
        f" Not converged: {failed}.",
    )
    return made
