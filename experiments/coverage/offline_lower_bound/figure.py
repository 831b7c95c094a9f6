"""The figure of offline_lower_bound, from its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Name in the figure, and whose colour and marker.
LOOKS = {
    "mle": ("likelihood, capped", "offline"),
    "ridge": ("ridge at 0", "design_one_round"),
    "prior_ridge": ("ridge of the prior", "oracle"),
    "pessimistic": ("pessimistic", "hybrid_paired"),
    "chi_po": (r"$\chi$PO, nearest softmax", "hybrid_mixture"),
}


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Bayes risk over the bound against N, one panel per instance."""
    bayes = tables["bayes_risk"]
    instances = list(dict.fromkeys(bayes["instance"].tolist()))
    made, axes = plotting.figure(len(instances), 1, height=4.4, sharex=True)
    for ax, instance in zip(np.atleast_1d(axes), instances, strict=True):
        for name, (label, key) in LOOKS.items():
            rows = bayes.where(instance=instance, estimator=name)
            ratio, error = rows["risk"] / rows["bound"], 4 * rows["risk_se"] / rows["bound"]
            plotting.band(ax, rows["num_pairs"], np.stack([ratio - error, ratio, ratio + error]), key, label=label)
        rows = bayes.where(instance=instance, estimator="mle")
        many = rows.kept(rows["limit"] < 2.5 * rows["bound"])
        plotting.theory(ax, many["num_pairs"], many["limit"] / many["bound"], "offline")
        plotting.theory(ax, rows["num_pairs"], np.ones(len(rows)))
        ax.set(xscale="log", yscale="log", ylim=(0.85, 40), ylabel="Bayes risk / bound", title=instance)
        ax.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        ax.minorticks_off()
    np.atleast_1d(axes)[-1].set_xlabel("labels N")
    plotting.legend(made, theory_label="theory: bound (at 1), $C_F/N$")
    radius, ridge, width = (bayes[name][0] for name in ("radius", "ridge", "width"))
    failed = sum(table["failed"].sum() for part, table in tables.items() if part != "margins")
    plotting.caption(
        made,
        f"Linear softmax; pairs from pi_0 x pi_0; mean over {bayes['seeds'][0]} draws of theta* (prior of Proposition "
        f"5, r = {radius:g}) and data, with four standard errors. Ridge {ridge:g} at 0. Pessimism: width {width:g} "
        "around the likelihood fit, measured from the reference. chi-PO: its implied reward is the likelihood fit "
        "itself; shown is the linear softmax nearest to its policy, which is biased. "
        f"Fits that did not converge: {failed}.",
    )
    return made
