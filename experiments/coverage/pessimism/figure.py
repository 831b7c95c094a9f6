"""The figure of pessimism, from its table."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.coverage.pessimism import laws
from experiments.coverage.pessimism.runs import COVERED, EXACT, GREEDY, SIMULATED, UNCOVERED, UNIFORM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Name in the figure, and whose colour and marker.
LOOKS = {
    UNCOVERED: (r"pessimistic, from $a_1$", "hybrid_design"),
    "chi_po": (r"$\chi$PO", "hybrid_mixture"),
    GREEDY: ("greedy MLE", "offline"),
    UNIFORM: ("pessimistic, from uniform", "on_policy"),
    COVERED: (r"pessimistic, from $a_3$", "hybrid_paired"),
}


def plot(table: Table) -> "Figure":
    """Expected gap against labels: exact curves, simulated points."""
    made, ax = plotting.figure(height=2.9)
    temperature_arm = next(arm for arm in table.where(kind=SIMULATED)["arm"].tolist() if arm.startswith("chi_po"))
    for name, (label, key) in LOOKS.items():
        arm = temperature_arm if name == "chi_po" else name
        rows, points = table.where(kind=EXACT, arm=arm), table.where(kind=SIMULATED, arm=arm)
        finite = np.isfinite(rows["num_labels"])
        look = {"color": plotting.COLORS[key], "label": label, "markeredgewidth": 0.8}
        look |= {"markerfacecolor": "none", "markersize": 6.5} if name == UNIFORM else {"markersize": 3.5}
        ax.errorbar(points["num_labels"], points["gap"], 4 * points["gap_se"], fmt=plotting.MARKERS[key], **look)
        plotting.theory(ax, rows["num_labels"][finite], rows["gap"][finite], key)
    ax.axhline(laws.LIMIT, color="#888888", linewidth=0.6, zorder=1)
    beneath = {"textcoords": "offset points", "xytext": (0, -9), "fontsize": 7, "ha": "center"}
    ax.annotate(r"$\sigma(-1)$", (3e4, laws.LIMIT), **beneath)
    ax.set(xscale="log", xlabel="labels n", ylabel=r"E[$r^*(a_4)-r^*(\mathrm{played})$]", ylim=(-0.04, 1.1))
    plotting.legend(made, theory_label="exact law")
    seeds, temperature = table.where(kind=SIMULATED)["seeds"][0], temperature_arm.removeprefix("chi_po b=")
    plotting.caption(
        made,
        f"Zhu-Jordan-Jiao instance, n - 1 labels on (a1, a2), one on (a2, a3): mean over {seeds} data sets with four "
        "standard errors. Likelihood fit in the ball of radius 2; greedy and pessimistic policies are deterministic; "
        "pessimism of width 4, ridge 1, measured from three policies; chi-PO (tabular policy) at temperature "
        f"{temperature} around the uniform reference. "
        f"Fits that did not converge: {table['failed'].max()}.",
    )
    return made
