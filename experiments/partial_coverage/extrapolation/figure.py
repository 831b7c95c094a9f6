"""The figure of `extrapolation`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.extrapolation.runs import ARMS, SPANNED, UNSPANNED


def plot(tables: dict[str, Table]):
    """Above, the spanned sweep; below, the unspanned one: what is learned against the truth."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.8)
    for ax in (top, bottom):
        ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1, gid="decoration")  # no change
        ax.set_ylabel(r"$\log\,\pi/\pi_{\mathrm{ref}}$ [nats]")
    for action, place, offset in (("preferred", -1, (-4, 34)), ("unseen", 0, (30, 0))):
        drawn, exact = (tables[part].where(action=action) for part in ("labels", SPANNED))
        band = (drawn["position"], drawn["dpo_low"], drawn["dpo_high"])
        top.fill_between(*band, color=plotting.COLORS["dpo"], alpha=0.2, linewidth=0)
        _arms(top, exact, "position")
        line = plotting.theory(top, exact["position"], exact["predicted"])
        plotting.direct_label(line, action, place=place, offset=offset)
    preferred = tables[SPANNED].where(action="preferred")
    if (falling := preferred["predicted"] < 0).any() and not falling.all():
        position, change = preferred["position"], preferred["predicted"]
        crossing = np.interp(0.0, -change, position)  # it falls with u
        top.axvspan(crossing, position.max(), color="#BBBBBB", alpha=0.25, linewidth=0)
    rows = tables[UNSPANNED].where(action="unseen")
    _arms(bottom, rows, "angle")
    plotting.theory(bottom, rows["angle"], rows["predicted"])
    look = {"color": plotting.COLORS["reference"], "linewidth": 1.0}
    (truth,) = bottom.plot(rows["angle"], rows["truth"], **look)
    plotting.direct_label(truth, r"$\pi^*$", place=len(rows) // 4, offset=(6, -6))
    top.set_xlabel("feature $u$ of the unseen action")
    bottom.set_xlabel("angle to the seen difference [degrees]")
    top.set_title("Differences span: the unseen action is learned,\nand may rise while the preferred one falls")
    bottom.set_title("They do not span: the unseen action is missed")
    plotting.legend(made, columns=3, theory_label="closed form")
    plotting.caption(
        made,
        "Linear softmax; labels compare two of three actions. Markers: infinitely many labels, DPO by gradient descent "
        f"from $\\pi_{{\\mathrm{{ref}}}}$. Bands: 10 to 90% of DPO's {drawn['seeds'][0]:,.0f} runs on "
        f"{drawn['labels'][0]:,.0f} labels. Shaded: the preferred action's "
        "$r<\\beta\\,\\log\\,E_{\\mathrm{ref}}\\,e^{r/\\beta}$. Below: the unseen action; dashed: at $P\\theta^*$, the "
        "part of $\\theta^*$ along the seen difference.",
    )
    return made


def _arms(ax, rows: Table, setting: str) -> None:
    size = {"dpo": {"markersize": 3}, "rlhf": {"markerfacecolor": "none", "markersize": 6, "markeredgewidth": 0.8}}
    for arm in ARMS:
        look = {"color": plotting.COLORS[arm], "marker": plotting.MARKERS[arm], "linestyle": "", **size[arm]}
        ax.plot(rows[setting], rows[arm], label=plotting.LABELS[arm], **look)
