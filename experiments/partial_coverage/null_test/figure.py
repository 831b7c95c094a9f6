"""The figure of `null_test`."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import statistics
from banditlab.store import Table
from experiments.partial_coverage.null_test.runs import BOUNDED, DESCENT, NEWTON

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(table: Table) -> "Figure":
    """Above, descent towards RLHF; below, how far a bound moves RLHF from DPO."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.4)
    rows = table.where(kind=DESCENT)
    later = rows["setting"] > 0
    quantiles = np.stack([rows[f"distance_{level}"][later] for level in statistics.BAND])
    plotting.band(top, rows["setting"][later], quantiles, "dpo", label="DPO by gradient descent")
    newton = table.where(kind=NEWTON)
    top.axhline(newton["worst"][0], color=plotting.COLORS["dpo"], linewidth=0.8, linestyle=":")
    beside = {"textcoords": "offset points", "xytext": (0, 3), "fontsize": 7}
    top.annotate("Newton, worst data set", (rows["setting"][1], newton["worst"][0]), **beside)
    top.set(xscale="log", yscale="log", xlabel="gradient steps", ylabel="largest log-ratio\nbetween DPO and RLHF")
    top.set_title("one unbounded class")
    bounded = table.where(kind=BOUNDED)
    quantiles = np.stack([bounded[f"distance_{level}"] for level in statistics.BAND])
    plotting.band(bottom, bounded["setting"], quantiles, "rlhf", label="RLHF, |reward| at most B")
    plotting.theory(bottom, bounded["setting"], bounded["least"], "rlhf", label=r"at least (span $-$ 2B)/$\beta$")
    bottom.set(xlabel="bound B on the reward", ylabel="largest log-ratio\nbetween DPO and RLHF")
    bottom.set_title("bounded reward")
    plotting.legend(made)
    plotting.caption(
        made,
        f"{newton['data_sets'][0]} random tabular bandits, 4 of 6 actions seen, {newton['labels'][0]} labels each, "
        f"beta {newton['beta'][0]:g}; median and 10-90% band. Upper panel over all actions (descent from pi_ref, "
        "reward of least norm); lower over the seen ones. Data sets without a maximum of the likelihood, left out: "
        f"{newton['missing'][0]}.",
    )
    return made
