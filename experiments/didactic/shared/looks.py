"""How the figures show an algorithm: the colour and marker of a key of `plotting.COLORS`, and its name."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.shared.tuned_training import PEAKS

LOOKS = {
    name: (name, plotting.LABELS[name])
    for name in (
        "best_of_n",
        "best_of_n_negative",
        "best_of_n_worst",
        "pref_ft",
        "dpo",
        "ipo",
        "rwr",
        "awr",
        "reinforce",
        "reinforce_running",
        "ppo",
        "ppo_unclipped",
    )
}


def style(key: str, **more: Any) -> dict[str, Any]:
    """Colour and marker of a key of `plotting.COLORS`, and whatever else a line has."""
    return {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], **more}


def points(ax: Any, rows: Table, x: str, y: str, key: str, **more: Any) -> None:
    """Column `y` against column `x` with bars of four standard errors."""
    ax.errorbar(rows[x], rows[y], 4 * rows[f"{y}_se"], **style(key, **more))


def curves(ax: Any, rows: Table, *, by: str, along: str, shortfall: bool = False) -> None:
    """Mean reward, else what it lacks to 1, and four standard errors, against a number that doubles; by algorithm."""
    for name in dict.fromkeys(rows[by].tolist()):
        one = rows.where(**{by: name})
        key, label = LOOKS[name]
        height = 1 - one["reward"] if shortfall else one["reward"]
        look = style(key, label=label, linewidth=1.1, elinewidth=0.5)
        ax.errorbar(one[along], height, 4 * one["reward_se"], **look)
    ax.set_xscale("log", base=2)
    ticks = np.unique(rows[along])
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()


def panels(table: Table, titles: Mapping[str, str], height: float, *, row: str, shortfall: bool = False, **names: str):
    """A figure with `curves` in a row for every value of the column `row`, by its title, R1 beside R2; and its axes.

    names: `by` and `along` of the curves.
    """
    made, axes = plotting.figure(len(titles), 2, height=height, sharex=True, sharey=True)
    shown = {"yscale": "log"} if shortfall else {"ylim": (0, 1.04)}
    for line, (value, says) in zip(axes, titles.items(), strict=True):
        for ax, bandit in zip(line, PEAKS, strict=True):
            ax.set(title=f"{bandit}, {says}", **shown)
            curves(ax, table.where(**{row: value, "bandit": bandit}), shortfall=shortfall, **names)
        line[0].set_ylabel(r"shortfall $1-E_\pi R$" if shortfall else r"reward $E_\pi R$")
    return made, axes
