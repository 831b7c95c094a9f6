"""The figure of function_classes, from its tables."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.coverage.function_classes import runs


def plot(tables: dict[str, Table]):
    """Failure and the exceedance of log(|F|/delta)/n against labels; below, n times the noisy error."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.6, height_ratios=(1.5, 1))
    noiseless, bounds, rate = (tables[part] for part in ("version_spaces", "bounds", "rate"))
    dark, light = plotting.shades("on_policy", 3)[1], plotting.COLORS["on_policy_pooled"]
    looks = {"off-policy": ("offline", None), "on-policy, too high": ("on_policy", dark)}
    looks |= {"on-policy, too low": ("on_policy_pooled", light)}
    for arm, (key, color) in looks.items():
        rows = noiseless.where(arm=arm)
        plotting.band(top, rows["labels"], _bars(rows, "failure"), key, label=f"{arm}", color=color)
        plotting.theory(top, rows["labels"], np.where(rows["failure_exact"] > 1e-4, rows["failure_exact"], np.inf), key)
    dotted = {"union_bound": ("offline", r"$\sum_f(1-p_f)^n$"), "crude_bound": ("uniform", r"$|F|(1-p_0)^n$")}
    for name, (key, label) in dotted.items():
        top.plot(bounds["labels"], bounds[name], ":", color=plotting.COLORS[key], linewidth=1, label=label)
    top.set(yscale="log", ylim=(3e-3, 6), xlabel="labels n (noiseless)", ylabel="P(a wrong f survives)")
    arms = list(dict.fromkeys(rate["arm"].tolist()))
    for arm in arms:
        key, place = ("offline" if "offline" in arm else "on_policy"), "random" in arm
        rows = rate.where(arm=arm)
        x = rows["num_pairs"] * (1.25 if place else 1.0)
        marks = {"fmt": plotting.MARKERS[key], "markerfacecolor": None if place else "none", "markeredgewidth": 0.8}
        bars = 4 * rows["scaled_error_se"]
        bottom.errorbar(x, rows["scaled_error"], bars, color=plotting.COLORS[key], elinewidth=0.8, **marks)
        plotting.theory(bottom, rows["num_pairs"], rows["constant"], key)
    bottom.set_xscale("log")
    bottom.set(xlabel="labels n (noisy)", ylabel=r"$n\,$E Var$_{\pi^*}(\hat f-f^*)$")
    plotting.legend(made, columns=2)
    undetermined = sum(int(rate.where(arm=arm)["undetermined"][0]) for arm in arms if "offline" in arm)
    plotting.caption(
        made,
        f"Above: f* and four functions, each wrong at one action by {runs.TOO_HIGH:+g} (too high) or {runs.TOO_LOW:+g} "
        "(too low); on-policy follows the survivor farthest from pi*. Mean and four standard errors over "
        f"{bounds['seeds'][0]} seeds; dashed: exact law. Below: least squares over all tables (open) and over linear "
        f"random features (filled), {rate['seeds'][0]} seeds, four standard errors; dashed: "
        f"tau^2 tr(V* M^-1), at pi_0 (round) and pi* (square). Batches without full rank: {undetermined}.",
    )
    return made


def _bars(rows: Table, name: str) -> np.ndarray:
    """(3, K) mean less, without and plus four standard errors; inf, not drawn, where a log axis has no place."""
    spread = 4 * rows[f"{name}_se"]
    levels = np.stack([np.maximum(rows[name] - spread, 1e-4), rows[name], rows[name] + spread])
    return np.where(rows[name] > 0, levels, np.inf)
