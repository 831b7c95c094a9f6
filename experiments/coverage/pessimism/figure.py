"""The figure of pessimism, from its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact.zhu_jordan_jiao import LIMIT
from experiments.coverage.pessimism.runs import COVERED, GREEDY, UNCOVERED, UNIFORM

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


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Expected gap against labels: exact curves, simulated points."""
    made, ax = plotting.figure(height=2.9)
    simulated = tables["simulated"]
    temperature_arm = next(arm for arm in simulated["arm"].tolist() if arm.startswith("chi_po"))
    for name, (label, key) in LOOKS.items():
        arm = temperature_arm if name == "chi_po" else name
        rows, points = tables["curves"].where(arm=arm), simulated.where(arm=arm)
        look = {"color": plotting.COLORS[key], "label": label, "markeredgewidth": 0.8}
        look |= {"markerfacecolor": "none", "markersize": 6.5} if name == UNIFORM else {"markersize": 3.5}
        ax.errorbar(points["num_labels"], points["gap"], 4 * points["gap_se"], fmt=plotting.MARKERS[key], **look)
        plotting.theory(ax, rows["num_labels"], rows["gap"], key)
    ax.axhline(LIMIT, color="#888888", linewidth=0.6, zorder=1)
    beneath = {"textcoords": "offset points", "xytext": (0, -9), "fontsize": 7, "ha": "center"}
    ax.annotate(r"$\sigma(-1)$", (3e4, LIMIT), **beneath)
    ax.set(xscale="log", xlabel="labels n", ylabel=r"E[$r^*(a_4)-r^*(\mathrm{played})$]", ylim=(-0.04, 1.1))
    plotting.legend(made, theory_label="exact law")
    fixed = {name: simulated[name][0] for name in ("seeds", "max_norm", "width", "ridge")}
    plotting.caption(
        made,
        f"Zhu-Jordan-Jiao instance, n - 1 labels on (a1, a2), one on (a2, a3): mean over {fixed['seeds']} data sets "
        f"with four standard errors. Likelihood fit in the ball of radius {fixed['max_norm']:g}; greedy and "
        f"pessimistic policies are deterministic; pessimism of width {fixed['width']:g}, ridge {fixed['ridge']:g}, "
        f"measured from three policies; chi-PO (tabular policy) at temperature {temperature_arm.split('=')[1]} around "
        f"the uniform reference. Fits that did not converge: {simulated['failed'].max()}.",
    )
    return made
