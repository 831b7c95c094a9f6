"""The figure of curves over rounds: gap, gap less that of one arm, KL(pi*||pi) and win rate."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

LABELS = {
    "gap": r"gap $J^*-J(\pi)$ [reward]",
    "kl_target": r"KL($\pi^*\|\pi$) [nats]",
    "win_rate": r"win rate against $\pi_{\mathrm{ref}}$",
    "kl_reference": r"KL($\pi\|\pi_{\mathrm{ref}}$) [nats]",
}
DOTTED = {"color": "#666666", "linestyle": ":", "linewidth": 0.9}
REFERENCE = {**DOTTED, "label": "reference", "zorder": 1}


def look_of(key: str, label: str = "", color: str = "") -> dict[str, Any]:
    """Color and marker of a key of COLORS; by default its own name is the label, and its colour the key's."""
    return {
        "color": color or plotting.COLORS[key],
        "marker": plotting.MARKERS[key],
        "label": label or key.replace("_", "-"),
    }


def curve(
    ax, x, table: Table, name: str, look: Mapping[str, Any], start: Table | None = None, shift: float = 0.0
) -> None:
    """Means over seeds with bars of four standard errors; where ``start``, the reference, is given, from it at 0 on.

    The points after it are moved sideways by ``shift``.
    """
    x, y, error = (np.asarray(values) for values in (x, table[name], table[f"{name}_se"]))
    x = x + shift
    if start is not None:
        x, y, error = (np.append(*pair) for pair in ((0, x), (start[name], y), (start[f"{name}_se"], error)))
    ax.errorbar(x, y, plotting.NUM_ERRORS * error, linewidth=1.2, elinewidth=0.6, **look)


def plot_curves(
    parts: Mapping[str, Table],
    looks: Mapping[str, tuple[str, ...]],
    note: str = "",
    findings: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType({}),
):
    """Gap, gap less that of the arm that the table compares with, KL(pi*||pi) and win rate against rounds.

    Args:
      looks: arm -> arguments of `look_of`, the key and the label at least.
      note: last sentence of the caption.
      findings: title -> pairs (arm that ends lower, arm that ends higher); the first whose arms are `behind` holds.
    """
    from matplotlib.ticker import MaxNLocator

    start, table = parts["reference"], parts["rounds"]
    arms = [arm for arm in looks if arm in table["arm"]]
    baseline = next(arm for arm in arms if not table.where(arm=arm)["gap_over"].any())
    made, axes = plotting.figure(1, 4, width=plotting.PAGE_WIDTH, height=2.2)
    panels = {"gap": LABELS["gap"], "gap_over": f"gap less that of\n{looks[baseline][1]}"}
    panels |= {name: LABELS[name] for name in ("kl_target", "win_rate")}
    # The arms share references and prompts, and their differences are seed by seed: they start at 0, exactly.
    known = {**start.columns, "gap_over": np.zeros(1), "gap_over_se": np.zeros(1)}
    for ax, (name, label) in zip(axes, panels.items(), strict=True):
        for place, arm in enumerate(arms):
            one, shift = table.where(arm=arm), 0.1 * (place - (len(arms) - 1) / 2)
            curve(ax, one["round"], one, name, look_of(*looks[arm]), Table(known), shift)
        if name in LABELS:
            ax.axhline(known[name][0], **REFERENCE)
        ax.set(xlabel="round", ylabel=label)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    last = table.where(round=table["round"].max())
    ends = {arm: last.where(arm=arm) for arm in arms}
    told = [words for words, pairs in findings.items() if all(behind(ends[b], ends[a], "gap_over") for a, b in pairs)]
    headline(axes, next(iter(told), ""))
    plotting.legend(made, columns=4)
    each = int(table["num_labels"].max() // table["round"].max())
    grid, rates = parts["rates"]["learning_rate"], parts["rates"].where(chosen=1)["learning_rate"]
    at_ends = int(np.isin(rates, [grid.min(), grid.max()]).sum())
    chosen = zip(parts["rates"].where(chosen=1)["arm"], rates, strict=True)
    plotting.caption(
        made,
        f"Small decoder on the habit-target task, {each:,} labels a round; means of {table['seeds'][0]} seeds, arms "
        f"drawn apart. {plotting.BARS} Second panel: differences seed by seed. Learning rates, chosen on held-out "
        f"seeds: {_rates({looks[arm][1]: rate for arm, rate in chosen})}."
        + plotting.only_if(at_ends, " At an end of the grid: {}.")
        + f" {note}",
    )
    return made


def behind(higher: Table, lower: Table, name: str) -> bool:
    """Whether a mean is above another one by four standard errors, the two taken as independent."""
    error = np.hypot(higher[f"{name}_se"], lower[f"{name}_se"])
    return bool((higher[name] - lower[name] > plotting.NUM_ERRORS * error).all())


def headline(axes, finding: str) -> None:
    """A title above a row of axes, from the left end of the first on."""
    if finding:
        # A title of the first axes would move the second ones to its middle; an empty one keeps its height free.
        look = {"xycoords": "axes fraction", "xytext": (0, 5), "textcoords": "offset points", "fontsize": 8}
        axes[0].annotate(finding, (0, 1), **look).set_in_layout(False)
        for ax in axes:
            ax.set_title(" ")


def _rates(chosen: Mapping[str, float]) -> str:
    """The rates with the arms that have them; one alone where all agree."""
    rates = dict.fromkeys(chosen.values())
    if len(rates) == 1:
        return f"{next(iter(rates)):g} for all"
    return ", ".join(
        f"{rate:g} for {' and '.join(arm for arm, one in chosen.items() if one == rate)}" for rate in rates
    )
