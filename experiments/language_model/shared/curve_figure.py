"""The figure of curves over rounds: gap, KL(pi*||pi), win rate and KL to the reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

PANELS = {
    "gap": r"gap $J^* - J(\pi)$",
    "kl_target": r"KL$(\pi^*\|\pi)$",
    "win_rate": "win rate",
    "kl_reference": r"KL$(\pi\|\pi_{ref})$",
}
DOTTED = {"color": "#666666", "linestyle": ":", "linewidth": 0.9}


def look_of(key: str, label: str = "") -> dict[str, Any]:
    """Color and marker of a key of COLORS; by default its own name is the label."""
    return {
        "color": plotting.COLORS[key],
        "marker": plotting.MARKERS[key],
        "label": label or key.replace("_", "-"),
    }


def curve(ax, x, table: Table, name: str, look: Mapping[str, Any], start: Table | None = None) -> None:
    """Means over seeds with bars of four standard errors; where ``start``, the reference, is given, from it at 0 on."""
    x, y, error = (np.asarray(values) for values in (x, table[name], table[f"{name}_se"]))
    if start is not None:
        x, y, error = (np.append(*pair) for pair in ((0, x), (start[name], y), (start[f"{name}_se"], error)))
    ax.errorbar(x, y, plotting.NUM_ERRORS * error, linewidth=1.2, elinewidth=0.6, **look)


def plot_curves(parts: Mapping[str, Table], looks: Mapping[str, tuple[str, str]], note: str = ""):
    """The PANELS against rounds; `looks`: arm -> (key of COLORS, label)."""
    from matplotlib.ticker import MaxNLocator

    start, table = parts["reference"], parts["rounds"]
    made, axes = plotting.figure(2, 2, height=3.6, sharex=True)
    for ax, (name, title) in zip(axes.flat, PANELS.items(), strict=True):
        for arm, look in ((arm, look_of(*look)) for arm, look in looks.items() if arm in table["arm"]):
            one = table.where(arm=arm)
            curve(ax, one["round"], one, name, look, start)
        ax.axhline(start[name][0], zorder=1, **DOTTED)
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel("round")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.legend(made, columns=3 if len(looks) <= 3 else 2)
    each = int(table["num_labels"].max() // table["round"].max())
    grid, rates = parts["rates"]["learning_rate"], parts["rates"].where(chosen=1)["learning_rate"]
    plotting.caption(
        made,
        f"{each} labels a round; means of {table['seeds'][0]} seeds. {plotting.BARS} Dotted: the references that "
        f"they start from. Rates chosen on held-out seeds: {', '.join(f'{rate:g}' for rate in rates)}; at an end of "
        f"the grid: {np.isin(rates, [grid.min(), grid.max()]).sum()}. {note}".strip(),
    )
    return made
