"""The figure of design_comparison, from its tables."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics
from experiments.coverage.design_comparison.ensemble import DESIGNS, NAMED
from experiments.coverage.design_comparison.rounds import ARMS

LABELS = {
    "joint": "joint",
    "triple": "triple",
    "conditional_nodes": r"nodes, $x\sim\rho$",
    "conditional_pairs": r"pairs, $x\sim\rho$",
    "reweighted": r"$\sigma'$-aware",
    "reweighted_conditional": r"$\sigma'$-aware, $x\sim\rho$",
}
ARM_LABELS = {
    "design": "triple design",
    "hybrid_paired": "hybrid, paired",
    "on_policy": "on-policy",
    "reweighted": r"$\sigma'$-aware at $\theta_k$",
    "plug_in_oracle": r"plug-in oracle at $\theta_k$",
    "oracle": "oracle",
}
_LOOKS = {"reweighted": ("#661100", "D"), "plug_in_oracle": ("#117733", "X")}


def plot(tables: dict[str, Table]):
    """Above, prices of designs over random instances; below, rounds of DPO on the named ones."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.6, height_ratios=(1, 1.3))
    designs, rounds = tables["designs"], tables["rounds"]
    for height, name in enumerate(reversed(DESIGNS)):
        row = designs.where(design=name)
        low, middle, high = (row[f"price_ratio_{level}"][0] for level in statistics.BAND)
        look = {"color": plotting.COLORS["design"], "fmt": plotting.MARKERS["design"], "markersize": 4}
        top.errorbar(middle, height, xerr=[[middle - low], [high - middle]], **look)
    top.set_yticks(range(len(DESIGNS)), [LABELS[name] for name in reversed(DESIGNS)])
    top.set_xscale("log")
    top.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    top.xaxis.minorticks_off()
    top.axvline(1.0, color="#000000", linewidth=0.6)
    top.set_title("random instances: median and 10-90%")
    top.set_xlabel(r"$C_F$ over the oracle's")
    for place, instance in enumerate(NAMED):
        best = rounds.where(instance=instance, arm="oracle")["price"][0]
        for offset, arm in enumerate(ARMS):
            row = rounds.where(instance=instance, arm=arm)
            color, marker = _LOOKS.get(arm) or (plotting.COLORS[arm], plotting.MARKERS[arm])
            x = place + (offset - 2.5) * 0.13
            marks = {"color": color, "fmt": marker, "markersize": 3.5, "elinewidth": 0.8}
            label = ARM_LABELS[arm] if place == 0 else None
            bottom.errorbar(x, row["measured"][0] / best, yerr=4 * row["measured_se"][0] / best, label=label, **marks)
            plotting.theory(bottom, np.asarray([x - 0.06, x + 0.06]), np.repeat(row["price"][0] / best, 2))
    bottom.set_xticks(range(len(NAMED)), NAMED)
    bottom.set_yscale("log")
    bottom.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    bottom.yaxis.minorticks_off()
    bottom.set_ylabel(r"2n KL over the oracle's $C_F$")
    plotting.legend(made, columns=2, theory_label=r"$C_F$ at $\pi^*$")
    plotting.caption(
        made,
        f"Above: {designs['num_instances'][0]} random environments (2 contexts, 5 actions, d = 4), solved in one "
        f"batch, every certificate checked. Below: DPO, linear softmax, {rounds['num_rounds'][0]} rounds, "
        f"{rounds['labels'][0]} labels in all, pooled, ridge {rounds['ridge'][0]:g}; mean and four standard errors "
        f"over {rounds['seeds'][0]} seeds, each round's design at the estimate so far. "
        f"Fits without a proved maximum, all rounds: {rounds['failed'].sum()}.",
    )
    return made
