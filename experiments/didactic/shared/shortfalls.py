"""Figures of what mean rewards lack to 1, on axes that are logarithmic and show 0."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.shared.tuned_training import PEAKS
from experiments.shared.bands import apart

LINEAR = 1e-3  # below this shortfall axes are linear, so that they show 0 and what bars that include it leave


def panels(table: Table, titles: Mapping[str, tuple[str, str]], height: float, *, column: str, by: str, along: str):
    """What mean rewards lack to 1, a row for R1 and one for R2, a column of panels for every value of `column`.

    Args:
      titles: of every value, the titles on R1 and on R2.
      by, along: the columns of the lines, and of their numbers, which double.
    Returns: the figure and its axes.
    """
    made, axes = plotting.figure(
        2, len(titles), width=plotting.PAGE_WIDTH, height=height, sharex=True, sharey="row", squeeze=False
    )
    for line, (place, bandit) in zip(axes, enumerate(PEAKS), strict=True):
        for ax, (value, says) in zip(line, titles.items(), strict=True):
            ax.set_title(says[place])
            _curves(ax, table.where(**{column: value, "bandit": bandit}), by, along)
        bars = 1 - table.where(bandit=bandit)["reward"] + plotting.NUM_ERRORS * table.where(bandit=bandit)["reward_se"]
        from_zero(line[0].yaxis, bars.max())
        line[0].set_ylabel(r"shortfall $1-E_\pi R$")
    return made, axes


def from_zero(axis: Any, most: float, linear: float = LINEAR) -> None:
    """A logarithmic axis of shortfalls up to `most`, linear from 0 to `linear`."""
    name = axis.axis_name
    getattr(axis.axes, f"set_{name}scale")("symlog", linthresh=linear, linscale=0.6)
    getattr(axis.axes, f"set_{name}lim")(
        -0.1 * linear, 1.2 * most
    )  # a marker at 0 is seen whole; no shortfall is below


def _curves(ax: Any, rows: Table, by: str, along: str) -> None:
    names = list(dict.fromkeys(rows[by].tolist()))
    for place, name in enumerate(names):
        one = rows.where(**{by: name})
        x = np.exp2(apart(np.log2(one[along]) + 1, place, len(names), 0.09) - 1)  # `apart` leaves zeros where they are
        plotting.mean(ax, x, 1 - one["reward"], one["reward_se"], name)
    ax.set_xscale("log", base=2)
    ticks = np.unique(rows[along])
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
