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
        # Named by its row: the markers of the panel below are other designs.
        look = {"color": plotting.COLORS["reference"], "fmt": "o", "markersize": 4}
        top.errorbar(middle, height, xerr=[[middle - low], [high - middle]], **look)[0].set_gid("labelled")
    top.set_yticks(range(len(DESIGNS)), [LABELS[name] for name in reversed(DESIGNS)])
    top.set_xscale("log")
    top.set_xticks([1, 2, 3, 4, 6, 8], ["1", "2", "3", "4", "6", "8"])
    top.xaxis.minorticks_off()
    top.set_xlim(0.97, None)
    top.set_title(
        "Random instances: $\\sigma'$-aware designs\nare nearest to the oracle"
        if _aware_wins(designs)
        else "Random instances"
    )
    top.set_xlabel(r"$C_F$ over the oracle's")
    for place, instance in enumerate(NAMED):
        best = rounds.where(instance=instance, arm="oracle")["price"][0]
        for offset, arm in enumerate(ARMS):
            row = rounds.where(instance=instance, arm=arm)
            color, marker = _LOOKS.get(arm) or (plotting.COLORS[arm], plotting.MARKERS[arm])
            x = place + (offset - 2.5) * 0.13
            marks = {"color": color, "fmt": marker, "markersize": 3.5, "elinewidth": 0.8}
            label = ARM_LABELS[arm] if place == 0 else None
            bars = plotting.NUM_ERRORS * row["measured_se"][0] / best
            bottom.errorbar(x, row["measured"][0] / best, yerr=bars, label=label, **marks)
            plotting.theory(bottom, np.asarray([x - 0.06, x + 0.06]), np.repeat(row["price"][0] / best, 2))
    bottom.set_xticks(range(len(NAMED)), NAMED)
    bottom.set_yscale("log")
    bottom.set_yticks([1, 1.5, 2, 3, 4, 6, 8], ["1", "1.5", "2", "3", "4", "6", "8"])
    bottom.yaxis.minorticks_off()
    bottom.set_ylim(0.85, 1.15 * max(_ratios(rounds)))
    bottom.set_title("Rounds: the oracle's design at the\nestimate is nearly the oracle")
    bottom.set_ylabel(r"$2n\,$KL over the oracle's $C_F$")
    plotting.legend(made, columns=2, theory_label=r"$C_F$ at $\pi^*$")
    plotting.caption(
        made,
        f"Above: {designs['num_instances'][0]} random environments (2 contexts, 5 actions, $d$ = 4), median and 10 to "
        f"90%. Below: DPO, linear softmax, {rounds['num_rounds'][0]} rounds, {rounds['labels'][0]:,} labels in all, "
        f"pooled, ridge {rounds['ridge'][0]:g}: means over {rounds['seeds'][0]:,} seeds, each round's design at the "
        f"estimate so far. {plotting.BARS} On-policy pools rounds of earlier policies, which cover $\\pi^*$ worse or "
        "better than it does itself."
        + plotting.only_if(rounds["failed"].sum(), " Fits without a proved maximum, all rounds: {}."),
    )
    return made


def _aware_wins(designs: Table) -> bool:
    """Whether the designs that know sigma' have the lowest median prices."""
    middle = {name: designs.where(design=name)["price_ratio_median"][0] for name in DESIGNS}
    aware = {name for name in DESIGNS if name.startswith("reweighted")}
    return max(middle[name] for name in aware) < min(middle[name] for name in DESIGNS if name not in aware)


def _ratios(rounds: Table) -> list[float]:
    """Of all arms below: measured or predicted prices over the oracle's of the instance, whichever is larger."""
    ratios = []
    for instance in NAMED:
        rows = rounds.where(instance=instance)
        best = rows.where(arm="oracle")["price"][0]
        ratios.append(max(rows["measured"].max(), rows["price"].max()) / best)
    return ratios
