"""The figure: estimates over exact values, and the coverage estimate against the number of responses."""

from collections.abc import Mapping

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics
from experiments.language_model.shared.curve_figure import DOTTED


def plot(parts: Mapping[str, Table]):
    """Left: estimates over exact values, in standard errors; right: the coverage estimate against N."""
    reference, sampled, sets = (parts[name] for name in ("reference", "sampled", "sets"))
    made, axes = plotting.figure(1, 2, height=2.3, width_ratios=(1, 1.5))
    names = {"kl": "KL", "reward": "reward", "reference_reward": r"reward, $\pi_{ref}$", "win_rate": "win rate"}
    for place, name in enumerate(names):
        row = sampled.where(quantity=name)
        value, error = (row[column][0] / row["exact"][0] for column in ("estimate", "estimate_se"))
        look = {"color": plotting.COLORS["on_policy"], "marker": "s"}
        axes[0].errorbar([100 * (value - 1)], [-place], xerr=[400 * error], **look)
    axes[0].axvline(0.0, color="#000000", linestyle=(0, (4, 2)), linewidth=0.9)
    axes[0].set_yticks(-np.arange(len(names)), list(names.values()))
    axes[0].set(title="estimate, % off", ylim=(-len(names) + 0.5, 0.5))
    quantiles = statistics.band(sets, "ratio")
    plotting.band(axes[1], sets["num_samples"], np.maximum(quantiles, 1e-6), "reference", label="estimate / exact")
    plotting.theory(axes[1], sets["num_samples"], np.ones(len(sets)), label="exact, and mean")
    axes[1].axvline(1 / reference["top_prob"][0], **DOTTED)
    axes[1].set(xscale="log", yscale="log", xlabel="responses N", title=r"coverage $E_{\pi^*}[\pi^*/\pi_{ref}]$")
    plotting.legend(made)
    plotting.caption(
        made,
        f"Left: {sampled['num_samples'][0]} responses of the decoder, bars four exact standard errors. Right: median "
        f"and 10% to 90% of sets of N responses to one prompt, from the exact law; dotted: one full match expected. "
        f"For an error of 10% N = {reference['relative_variance'][0] / 0.1**2:.1e} is needed.",
    )
    return made
