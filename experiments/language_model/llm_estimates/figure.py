"""The figure: estimates over exact values, and the coverage estimate against the number of responses."""

from collections.abc import Mapping

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics
from experiments.language_model.shared.curve_figure import DOTTED


def plot(parts: Mapping[str, Table]):
    """Left: estimates over exact values; right: the coverage estimate against N."""
    reference, sampled, sets = (parts[name] for name in ("reference", "sampled", "sets"))
    made, (left, right) = plotting.figure(1, 2, height=2.5, width_ratios=(1, 1.6))
    names = {
        "kl": "KL",
        "reward": "reward",
        "reference_reward": "reward,\n$\\pi_{\\mathrm{ref}}$",
        "win_rate": "win rate",
    }
    for place, name in enumerate(names):
        row = sampled.where(quantity=name)
        value, error = (row[column][0] / row["exact"][0] for column in ("estimate", "estimate_se"))
        look = {"color": plotting.COLORS["reference"], "marker": "o"}
        left.errorbar([100 * (value - 1)], [-place], xerr=[100 * plotting.NUM_ERRORS * error], **look)
    plotting.theory(left, np.zeros(2), np.array([-len(names) + 0.5, 0.5]), label="exact")
    left.set_yticks(-np.arange(len(names)), list(names.values()))
    left.set(xlabel="estimate, % off", ylim=(-len(names) + 0.5, 0.5), title="Estimates agree\nwith exact values")
    low, middle, high = np.maximum(statistics.band(sets, "ratio"), 1e-6)
    size, color = sets["num_samples"], plotting.COLORS["reference"]
    right.errorbar(size, middle, [middle - low, high - middle], fmt="o", color=color, elinewidth=0.8, label="median")
    open_ = {"fmt": "D", "markerfacecolor": "none", "markeredgewidth": 0.8, "markersize": 6}
    right.errorbar(size, sets["ratio"], color="#000000", label="mean", **open_)
    plotting.theory(right, size, np.ones(len(sets)), label="exact")
    match = 1 / reference["top_prob"][0]
    right.axvline(match, **DOTTED, label="one full match expected")
    right.set(xscale="log", yscale="log", xlabel="responses $N$", ylabel="estimate / exact")
    early = middle[size < match]
    title = r"Coverage $E_{\pi^*}[\pi^*/\pi_{\mathrm{ref}}]$" + (
        ":\nmissed before a match" if len(early) and early.max() < 0.5 else ""
    )
    right.set_title(title)
    right.xaxis.get_major_locator().set_params(numticks=5)
    plotting.legend(made)
    needed = reference["relative_variance"][0] / 0.1**2
    plotting.caption(
        made,
        f"Left: {sampled['num_samples'][0]:,} responses of the decoder; bars: four exact standard errors. Right: sets "
        "of $N$ responses to one prompt, from the exact law; median with its 10 to 90%, mean. For an error of 10% "
        f"$N$ = {plotting.number(float(f'{needed:.1e}'))} is needed.",
    )
    return made
