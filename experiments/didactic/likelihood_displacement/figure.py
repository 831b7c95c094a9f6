"""The figure of `likelihood_displacement`: both likelihoods along DPO, and what each algorithm's rate does to them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# No algorithms: two shades, and markers of their own.
_REJECTED, _CHOSEN = plotting.shades("reference", 2)
_SIDES = {"chosen": (_CHOSEN, "o"), "rejected": (_REJECTED, "s")}


def plot(tables: Mapping[str, Table]) -> "Figure":
    """A panel per kind of data set under DPO; last, every algorithm's end against the learning rate."""
    paths = tables["path"]
    cells = sorted(set(zip(paths["prompts"].tolist(), paths["samples"].tolist(), strict=True)))
    cells = [cells[0], cells[-1]] if len(cells) < 4 else [cells[0], cells[1], *cells[-2:]]
    rows = 1 + len(cells) // 4
    made, axes = plotting.figure(
        rows, (len(cells) + 2) // rows, width=plotting.PAGE_WIDTH, height=0.5 + 2.1 * rows, squeeze=False
    )
    panels = list(axes.flat)
    for ax, cell in zip(panels, cells, strict=False):
        _draw_path(ax, paths.where(algorithm="dpo", prompts=cell[0], samples=cell[1]), _named(cell))
    many = max(cells, key=lambda cell: (cell[1], cell[0]))
    ends = {part: tables[part].where(prompts=many[0], samples=many[1]) for part in ("tuning", "tuned", "path")}
    _draw_rates(panels[-2:], ends)
    panels[-2].set_title(f"{_named(many)}: larger\nrates, and the chosen fall further")
    panels[-1].set_title("... and the reward grows\nall the same")
    plotting.legend(made, columns=6, theory_label="sign descent, chosen")
    tried, best = (np.unique(ends[part]["rate"]) for part in ("tuning", "tuned"))
    plotting.caption(
        made,
        f"Tabular softmax, reward peak {tables['closed']['peak'][0]:g}, Adam on all pairs of prompts with reference "
        f"draws. DPO at rate {paths['rate'].max():g}: mean over a data set's winners and losers, means over "
        f"{paths['data_sets'].max():.0f} data sets. {plotting.BARS} {plotting.BAND} Dashed: steps of rate times "
        f"sign(wins - losses). Last two: ends after {paths['step'].max():.0f} steps, held-out data sets; large: "
        f"the best rate{', the largest tried' if np.all(best == tried.max()) else ''}; dotted: the start.",
    )
    return made


def _named(cell: tuple[float, float]) -> str:
    prompts, samples = cell
    if samples == 2:
        return "one pair" if prompts == 1 else f"{prompts:g} pairs"
    return f"{prompts:g} {'prompt' if prompts == 1 else 'prompts'} of {samples:g} draws"


def _draw_path(ax: "Axes", rows: Table, name: str) -> None:
    rows = rows.kept(rows["step"] > 0)
    for side, (color, marker) in _SIDES.items():
        look = {"quantiles": statistics.band(rows, side), "label": side, "color": color}
        line = plotting.mean(ax, rows["step"], rows[side], rows[f"{side}_se"], "reference", **look)
        line.set_marker(marker)
    plotting.theory(ax, rows["step"], rows["sign_path"], color=_CHOSEN)
    _start(ax, 0.0)
    chosen = rows["chosen"]
    ends = "rise, and end lower" if chosen[-1] < 0 else "rise, then fall" if chosen[-1] < chosen.max() else "rise"
    ax.set_title(f"DPO, {name}:\nthe chosen {ends}")
    ax.set(xscale="log", ylim=(-6.5, 5.5), xlabel="step of Adam", ylabel=r"change of $\log\,\pi$ [nats]")


def _draw_rates(axes: "list[Axes]", tables: Mapping[str, Table]) -> None:
    """What training ends with against the learning rate; the tuned one is large."""
    for ax, quantity in zip(axes, ("chosen", "reward"), strict=True):
        for name in ("dpo", "ipo", "pref_ft"):
            one = tables["tuning"].where(algorithm=name)
            plotting.mean(ax, one["rate"], one[quantity], one[f"{quantity}_se"], name)
            best = one.where(rate=tables["tuned"].where(algorithm=name)["rate"][0])
            ax.plot(best["rate"], best[quantity], plotting.MARKERS[name], color=plotting.COLORS[name], markersize=7)
        _start(ax, 0.0 if quantity == "chosen" else tables["path"].where(step=0.0)["reward"][0])
        rates = np.unique(tables["tuning"]["rate"])
        ax.set(xscale="log", xlabel="learning rate")
        ax.set_xticks(rates, [plotting.number(rate) for rate in rates])
        ax.minorticks_off()
        ax.margins(x=0.12)
    lowest = tables["tuning"]["chosen"].min()
    axes[0].set_yscale("symlog", linthresh=1.0)
    axes[0].set(ylabel=r"change of $\log\,\pi$ [nats]", ylim=(3 * lowest, 4))
    axes[1].set(ylabel=r"reward $E_\pi R$", ylim=(0, None))


def _start(ax: "Axes", height: float) -> None:
    # A guide: where training starts, as the caption says.
    ax.axhline(height, color="#666666", linewidth=0.9, linestyle=":", zorder=1, gid="decoration")
