"""The figure of offline_lower_bound, from its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Name in the figure, whose marker and colour, and a shade of it.
LOOKS = {
    "mle": ("likelihood, capped", "offline", None),
    "ridge": ("ridge at 0", "offline", plotting.shades("offline", 3)[1]),
    "prior_ridge": ("ridge of the prior", "oracle", None),
    "pessimistic": ("pessimistic", "pessimistic", None),
    "chi_po": (r"$\chi$PO, nearest softmax", "chi_po", None),
}
_HIGHEST = 40.0  # of the ratios that are drawn


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Bayes risk over the bound against N, one panel per instance."""
    bayes = tables["bayes_risk"]
    instances = list(dict.fromkeys(bayes["instance"].tolist()))
    made, axes = plotting.figure(len(instances), 1, height=4.4, sharex=True)
    for ax, instance in zip(np.atleast_1d(axes), instances, strict=True):
        for name, (label, key, color) in LOOKS.items():
            rows = bayes.where(instance=instance, estimator=name)
            ratio, error = rows["risk"] / rows["bound"], rows["risk_se"] / rows["bound"]
            plotting.mean(ax, rows["num_pairs"], ratio, error, key, label=label, color=color)
            if ratio[-1] > _HIGHEST:
                # Beside the point after which the line leaves the picture.
                place = int(np.flatnonzero(ratio <= _HIGHEST)[-1])
                words = f"to {plotting.number(float(f'{ratio[-1]:.2g}'))}: biased"
                look = {"textcoords": "offset points", "fontsize": 7, "va": "center"}
                ax.annotate(words, (rows["num_pairs"][place], ratio[place]), xytext=(14, 2), **look)
        rows = bayes.where(instance=instance, estimator="mle")
        many = rows["limit"] < 2.5 * rows["bound"]
        if many.any():
            limit = plotting.theory(ax, rows["num_pairs"][many], (rows["limit"] / rows["bound"])[many], "offline")
            plotting.direct_label(limit, "$C_F/N$", place=0, offset=(4, 7))
        bound = plotting.theory(ax, rows["num_pairs"], np.ones(len(rows)))
        plotting.direct_label(bound, "bound", place=0, offset=(0, -6))
        ax.set(xscale="log", yscale="log", ylim=(0.7, _HIGHEST), ylabel="Bayes risk / bound")
        every = bayes.where(instance=instance)
        least = (every["risk"] / every["bound"]).min()
        ax.set_title(f"{instance.capitalize()}: no estimator is below\n{least:.2f} times the bound")
        ax.set_yticks([1, 2, 5, 10, 20, 40], ["1", "2", "5", "10", "20", "40"])
        ax.minorticks_off()
    np.atleast_1d(axes)[-1].set_xlabel("labels $N$")
    plotting.legend(made)
    radius, ridge, width = (bayes[name][0] for name in ("radius", "ridge", "width"))
    failed = sum(table["failed"].sum() for part, table in tables.items() if part != "margins")
    plotting.caption(
        made,
        rf"Linear softmax; pairs from $\pi_0\times\pi_0$; means over {bayes['seeds'][0]:,} draws of $\theta^*$ (prior "
        f"of Proposition 5, $r$ = {radius:g}) and data. {plotting.BARS} Ridge {ridge:g} at 0. Pessimism: width "
        rf"{width:g} around the likelihood fit, measured from the reference. $\chi$PO: its implied reward is that fit; "
        "shown is the linear softmax nearest to its policy." + plotting.only_if(failed, " Fits that failed: {}."),
    )
    return made
