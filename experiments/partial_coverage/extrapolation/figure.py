"""The figure of `extrapolation`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.extrapolation.runs import ARMS, SPANNED, UNSPANNED


def plot(tables: dict[str, Table]):
    """Above, the spanned sweep; below, the unspanned one: what is learned against the truth."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.8)
    for ax in (top, bottom):
        ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
    for action, place in (("preferred", (3.1, -1.1)), ("unseen", (-0.6, -3.3))):
        drawn, exact = (tables[part].where(action=action) for part in ("labels", SPANNED))
        band = (drawn["position"], drawn["dpo_low"], drawn["dpo_high"])
        top.fill_between(*band, color=plotting.COLORS["dpo"], alpha=0.2, linewidth=0)
        _arms(top, exact, "position")
        plotting.theory(top, exact["position"], exact["predicted"])
        top.annotate(action, place, fontsize=7)
    preferred = tables[SPANNED].where(action="preferred")
    if (falling := preferred["predicted"] < 0).any() and not falling.all():
        position, change = preferred["position"], preferred["predicted"]
        crossing = np.interp(0.0, -change, position)  # it falls with u
        top.axvspan(crossing, position.max(), color="#BBBBBB", alpha=0.25, linewidth=0)
    rows = tables[UNSPANNED].where(action="unseen")
    _arms(bottom, rows, "angle")
    plotting.theory(bottom, rows["angle"], rows["predicted"])
    bottom.plot(rows["angle"], rows["truth"], color=plotting.COLORS["reference"], linewidth=1.0, label=r"$\pi^*$")
    bottom.annotate("unseen", (-85, 0.3), fontsize=7)
    top.set(xlabel="feature u of the unseen action", ylabel=r"log $\pi/\pi_{\rm ref}$")
    bottom.set(xlabel="angle to the seen difference, degrees", ylabel=r"log $\pi/\pi_{\rm ref}$")
    top.set_title("seen differences span")
    bottom.set_title("seen differences do not span")
    plotting.legend(made, columns=4, theory_label="closed form")
    plotting.caption(
        made,
        "Linear softmax; labels compare two of three actions, features 0 and 1 above. Markers: infinitely many labels, "
        f"DPO by gradient descent from pi_ref. Bands: 10-90% of DPO on {drawn['labels'][0]:.0f} labels, "
        f"{drawn['seeds'][0]:.0f} seeds. Shaded: r of the preferred action is below beta log E_ref e^(r/beta), and its "
        "probability falls although it is the better of the two compared. Dashed below: the closed form at P theta*, "
        "the part of theta* along the seen difference.",
    )
    return made


def _arms(ax, rows: Table, setting: str) -> None:
    size = {"dpo": {"markersize": 3}, "rlhf": {"markerfacecolor": "none", "markersize": 6, "markeredgewidth": 0.8}}
    for arm in ARMS:
        look = {"color": plotting.COLORS[arm], "marker": plotting.MARKERS[arm], "linestyle": "", **size[arm]}
        ax.plot(rows[setting], rows[arm], label=plotting.LABELS[arm], **look)
