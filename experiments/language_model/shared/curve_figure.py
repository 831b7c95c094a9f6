"""The figure of curves over rounds: gap, KL(pi*||pi), win rate and KL to the reference."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from banditlab import plotting
from banditlab.store import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "gap": r"gap $J^* - J(\pi)$",
    "kl_target": r"KL$(\pi^*\|\pi)$",
    "win_rate": "win rate",
    "kl_reference": r"KL$(\pi\|\pi_{ref})$",
}


def plot_curves(table: Table, looks: Mapping[str, tuple[str, str]], note: str = "") -> "Figure":
    """Means over seeds with bars of a standard error, against rounds; `looks`: arm -> (key of COLORS, label)."""
    from matplotlib.ticker import MaxNLocator

    made, axes = plotting.figure(2, 2, height=3.6, sharex=True)
    for ax, (name, title) in zip(axes.flat, PANELS.items(), strict=True):
        for arm, (key, label) in ((arm, look) for arm, look in looks.items() if arm in table["arm"]):
            one = table.where(arm=arm)
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "label": label}
            ax.errorbar(one["round"], one[name], one[f"{name}_se"], linewidth=1.2, elinewidth=0.6, **look)
        start = table.where(round=0)[name][0]
        ax.axhline(start, color="#666666", linestyle=":", linewidth=0.9, zorder=1)
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel("round")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.legend(made, columns=3 if len(looks) <= 3 else 2)
    plotting.caption(made, f"{_facts(table)} {note}".strip())
    return made


def _facts(table: Table) -> str:
    last = table.where(round=table["round"].max())
    each = int(table["num_labels"].max() // table["round"].max())
    rates = ", ".join(f"{rate:g}" for rate in last["rate"])
    return (
        f"{each} labels a round; mean of {table['seeds'][0]} seeds, each with a reference of its own, bars a "
        f"standard error; dotted: the reference. Rates chosen on held-out seeds: {rates}; at an end of the grid: "
        f"{last['rate_at_edge'].sum()}."
    )
