"""The figure of `null_test`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics


def plot(tables: dict[str, Table]):
    """Above, descent towards RLHF; below, how far a bound moves RLHF from DPO."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.4)
    newton, bounded = {name: values[0] for name, values in tables["newton"].columns.items()}, tables["bounded"]
    later = tables["descent"].kept(tables["descent"]["steps"] > 0)
    plotting.band(top, later["steps"], _quantiles(later), "dpo", label="DPO by gradient descent")
    top.axhline(newton["worst"], color=plotting.COLORS["dpo"], linewidth=0.8, linestyle=":")
    beside = {"textcoords": "offset points", "xytext": (0, 3), "fontsize": 7}
    top.annotate("Newton, worst data set", (later["steps"][0], newton["worst"]), **beside)
    top.set(xscale="log", yscale="log", xlabel="gradient steps", ylabel="largest log-ratio\nbetween DPO and RLHF")
    top.set_title("one unbounded class")
    plotting.band(bottom, bounded["bound"], _quantiles(bounded), "rlhf", label="RLHF, |reward| at most B")
    plotting.theory(bottom, bounded["bound"], bounded["least"], "rlhf", label=r"at least (span $-$ 2B)/$\beta$")
    bottom.set(xlabel="bound B on the reward", ylabel="largest log-ratio\nbetween DPO and RLHF")
    bottom.set_title("bounded reward")
    plotting.legend(made)
    plotting.caption(
        made,
        f"{newton['data_sets']} random tabular bandits, {newton['num_seen']} of {newton['num_actions']} actions seen, "
        f"{newton['labels']} labels each, beta {newton['beta']:g}; median and 10-90% band. Upper panel over all "
        "actions (descent from pi_ref, reward of least norm); lower over the seen ones. Data sets without a maximum of "
        f"the likelihood, left out: {newton['missing']}.",
    )
    return made


def _quantiles(rows: Table) -> np.ndarray:
    return np.stack([rows[f"distance_{level}"] for level in statistics.BAND])
