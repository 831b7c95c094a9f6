"""The figure of `extrapolation`."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.extrapolation.laws import SAMPLED, SPANNED, UNSPANNED
from experiments.partial_coverage.extrapolation.runs import ARMS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(table: Table) -> "Figure":
    """Above, the spanned sweep; below, the unspanned one: what is learned against the truth."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.8)
    for ax in (top, bottom):
        ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
    for quantity, place in (("preferred", (3.1, -1.1)), ("unseen", (-0.6, -3.3))):
        drawn = table.where(kind=SAMPLED, quantity=quantity)
        exact = table.where(kind=SPANNED, quantity=quantity)
        band = np.stack([drawn[f"dpo_{level}"] for level in ("low", "high")])
        top.fill_between(drawn["setting"], *band, color=plotting.COLORS["dpo"], alpha=0.2, linewidth=0)
        _arms(top, exact)
        plotting.theory(top, exact["setting"], exact["truth"])
        top.annotate(quantity, place, fontsize=7)
    preferred = table.where(kind=SPANNED, quantity="preferred")
    if (preferred["truth"] < 0).any() and (preferred["truth"] > 0).any():
        crossing = np.interp(0.0, -preferred["truth"], preferred["setting"])  # it falls with u
        top.axvspan(crossing, preferred["setting"].max(), color="#BBBBBB", alpha=0.25, linewidth=0)
    rows = table.where(kind=UNSPANNED, quantity="unseen")
    _arms(bottom, rows)
    plotting.theory(bottom, rows["setting"], rows["predicted"])
    bottom.plot(rows["setting"], rows["truth"], color=plotting.COLORS["reference"], linewidth=1.0, label=r"$\pi^*$")
    bottom.annotate("unseen", (-85, 0.3), fontsize=7)
    top.set(xlabel="feature u of the unseen action", ylabel=r"log $\pi/\pi_{\rm ref}$")
    bottom.set(xlabel="angle to the seen difference, degrees", ylabel=r"log $\pi/\pi_{\rm ref}$")
    top.set_title("seen differences span")
    bottom.set_title("seen differences do not span")
    plotting.legend(made, columns=4, theory_label="closed form")
    drawn = table.where(kind=SAMPLED, quantity="unseen")
    plotting.caption(
        made,
        "Linear softmax; labels compare two of three actions, features 0 and 1 above. Markers: infinitely many labels, "
        f"DPO by gradient descent from pi_ref. Bands: 10-90% of DPO on {drawn['labels'][0]:.0f} labels, "
        f"{drawn['seeds'][0]:.0f} seeds. Shaded: r of the preferred action is below beta log E_ref e^(r/beta), and its "
        "probability falls although it is the better of the two compared. Dashed below: the closed form at P theta*, "
        "the part of theta* along the seen difference.",
    )
    return made


def _arms(ax, rows: Table) -> None:
    size = {"dpo": {"markersize": 3}, "rlhf": {"markerfacecolor": "none", "markersize": 6, "markeredgewidth": 0.8}}
    for arm in ARMS:
        look = {"color": plotting.COLORS[arm], "marker": plotting.MARKERS[arm], "linestyle": "", **size[arm]}
        ax.plot(rows["setting"], rows[f"{arm}_median"], label=plotting.LABELS[arm], **look)
