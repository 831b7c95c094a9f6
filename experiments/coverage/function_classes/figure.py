"""The figure of function_classes, from its tables."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.coverage.function_classes import runs


def plot(tables: dict[str, Table]):
    """Failure and the exceedance of log(|F|/delta)/n against labels; below, n times the noisy error."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.9, height_ratios=(1.5, 1))
    noiseless, bounds, rate = (tables[part] for part in ("version_spaces", "bounds", "rate"))
    light, dark, _ = plotting.shades("on_policy", 3)
    looks = {"off-policy": ("offline", None), "on-policy, too high": ("on_policy", dark)}
    looks |= {"on-policy, too low": ("on_policy", light)}
    for arm, (key, color) in looks.items():
        rows = noiseless.where(arm=arm)
        seen = np.where(rows["failure"] > 0, rows["failure"], np.inf)
        plotting.mean(top, rows["labels"], seen, rows["failure_se"], key, label=arm, color=color)
        exact = np.where(rows["failure_exact"] > 1e-4, rows["failure_exact"], np.inf)
        plotting.theory(top, rows["labels"], exact, key, color=color)
    dotted = {"union_bound": ("offline", r"$\sum_f(1-p_f)^n$"), "crude_bound": ("reference", r"$|F|(1-p_0)^n$")}
    for name, (key, label) in dotted.items():
        top.plot(bounds["labels"], bounds[name], ":", color=plotting.COLORS[key], linewidth=1, label=label)
    top.set(yscale="log", ylim=(3e-3, 6), xlabel="labels $n$ (noiseless)", ylabel="P(a wrong $f$ survives)")
    top.set_title("On-policy labels expose an $f$ that is\ntoo high and spare one that is too low")
    _draw_rate(bottom, rate)
    plotting.legend(made, columns=2, theory_label="exact law, or predicted")
    undetermined = sum(int(rows["undetermined"][0]) for rows in _arms(rate).values())
    plotting.caption(
        made,
        rf"Above: $f^*$ and four functions, each wrong at one action by ${runs.TOO_HIGH:+g}$ or ${runs.TOO_LOW:+g}$; "
        rf"on-policy follows the survivor farthest from $\pi^*$; {bounds['seeds'][0]:,} seeds. Below: least squares "
        rf"over all tables (open) or linear features (filled), {rate['seeds'][0]:,} seeds, offline at $\pi_0$ and "
        rf"on-policy at $\pi^*$; dashed: $\tau^2$tr$(V^*M^{{-1}})$. Means. {plotting.BARS}"
        + plotting.only_if(undetermined, " Batches without full rank: {}."),
    )
    return made


def _arms(rate: Table) -> dict[str, Table]:
    """The rows of every arm of the noisy fits; of these the offline ones alone count batches without full rank."""
    return {arm: rate.where(arm=arm) for arm in dict.fromkeys(rate["arm"].tolist()) if "offline" in arm}


def _draw_rate(ax, rate: Table) -> None:
    """Open: all tables; filled, a little to the right: random features. Named where they run."""
    arms = list(dict.fromkeys(rate["arm"].tolist()))
    words = {
        "tabular, offline": (6, "offline, all tables"),
        "random features, offline": (6, "offline, linear features"),
    }
    words |= {"random features, on-policy": (6, "on-policy, both")}
    for arm in arms:
        key, linear = ("offline" if "offline" in arm else "on_policy"), "random" in arm
        rows = rate.where(arm=arm)
        x = rows["num_pairs"] * (1.25 if linear else 1.0)
        marks = {"fmt": plotting.MARKERS[key], "markerfacecolor": None if linear else "none", "markeredgewidth": 0.8}
        marks |= {"color": plotting.COLORS[key], "elinewidth": 0.8}
        ax.errorbar(x, rows["scaled_error"], plotting.NUM_ERRORS * rows["scaled_error_se"], **marks)[0].set_gid(
            "labelled"
        )
        line = plotting.theory(ax, rows["num_pairs"], rows["constant"], key)
        if arm in words:
            place = len(rows) // 2
            plotting.direct_label(line, words[arm][1], place=place, offset=(8, words[arm][0]))
    low, high = rate["constant"].min(), rate["constant"].max()
    ax.set(xscale="log", xlabel="labels $n$ (noisy; linear features drawn apart)", ylim=(0.9 * low, 1.12 * high))
    ax.set(
        ylabel=r"$n\,$E Var$_{\pi^*}(\hat f-f^*)$", title="With noise: $n$ times the error\nis the predicted constant"
    )
