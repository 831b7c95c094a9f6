"""The label planner's page: label prices as bars, and the predicted KL against further labels."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.command.planning.report import EXISTENCE, NAMES, number
from banditlab.planner import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {
    "data": "offline",
    "on_policy": "on_policy",
    "uniform": "uniform",
    "joint": "design_one_round",
    "triple": "design",
}


def draw(plan: Plan, settings: dict[str, float]) -> "Figure":
    """One page: label prices as bars, and the predicted KL against further labels; leverages without an estimate."""
    known = plan.estimate != "none"
    made, axes = plotting.figure(2 if known else 1, 1, height=4.1 if known else 1.7, squeeze=False)
    bars = plan.assessment.price if known else plan.leverage
    errors = plan.assessment.price_se if known else np.full(len(bars), np.inf)
    label = "label price $C_F$: labels times 2 KL" if known else "leverage G: largest variance of a difference"
    _bars(axes[0, 0], plan, np.asarray(bars), np.asarray(errors), label)
    if known:
        _curves(axes[1, 0], plan, settings)
        plotting.legend(made, columns=2)
    plotting.caption(made, _caption(plan, settings))
    return made


def _bars(ax: "Axes", plan: Plan, values: np.ndarray, errors: np.ndarray, label: str) -> None:
    finite = np.isfinite(values)
    # Two standard errors of the logarithm: a price is positive, and near exponential in the parameters.
    factor = np.exp(2 * np.where(np.isfinite(errors) & finite, errors / np.where(finite, values, 1.0), 0.0))
    least = values[finite].min() if finite.any() else 1.0
    most = values[finite].max() if finite.any() else 1.0
    # Beyond two decades a linear scale hides the small bars; a log scale has no zero to start from.
    log = most > 100 * least
    furthest = max((values * factor)[finite], default=1.0)
    start, end = (least / 3, 3 * furthest) if log else (0.0, 1.2 * furthest)
    with plotting.style():
        for row, (name, value) in enumerate(zip(plan.samplers, values, strict=True)):
            color = plotting.COLORS[_COLORS[name]]
            if not finite[row]:
                ax.barh(row, end - start, left=start, color="none", hatch="////", edgecolor=color, linewidth=0)
                box = {"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 1.0}
                ax.annotate(
                    "infinite: a direction is never shown",
                    (start, row),
                    xytext=(6, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                    bbox=box,
                )
                continue
            ax.barh(row, value - start, left=start, color=color)
            reach = value * factor[row]
            if factor[row] > 1:
                low = max(value / factor[row], start)
                ax.plot([low, reach], [row, row], color="#000000", linewidth=0.9, solid_capstyle="butt")
            place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 7}
            ax.annotate(number(value), (reach, row), **place)
        ticks = {"yticks": range(len(values)), "yticklabels": [NAMES[name] for name in plan.samplers]}
        ax.set_xscale("log" if log else "linear")
        ax.set(xlabel=label, xlim=(start, end), **ticks)
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")


def _curves(ax: "Axes", plan: Plan, settings: dict[str, float]) -> None:
    # All are predictions, hence dashed, and in the colours of the bars.
    with plotting.style():
        for name, curve in zip(plan.samplers, plan.curve_kl, strict=True):
            color = plotting.COLORS[_COLORS[name]]
            drawn = np.where(np.isfinite(curve), curve, np.nan)
            ax.plot(plan.curve_labels, drawn, color=color, linestyle="--", linewidth=1.3, label=NAMES[name])
        ax.axhline(settings["kl"], color="#000000", linewidth=0.6)
        color = plotting.COLORS["hybrid_paired"]
        ax.plot(settings["next"], plan.next_kl, "o", color=color, markersize=5, label="the next pairs", zorder=4)
        ax.set(xscale="log", yscale="log", xlabel="further labels", ylabel="predicted KL$(\\pi^*\\,\\|\\,\\hat\\pi)$")


def _caption(plan: Plan, settings: dict[str, float]) -> str:
    head = (
        f"{plan.num_comparisons:.0f} comparisons, linear softmax of rank {plan.env.rank}, beta = {settings['beta']:g}. "
    )
    if plan.estimate == "none":
        return head + f"{EXISTENCE[plan.existence].capitalize()}. Leverage of one label, which needs no estimate."
    error = (
        "bars: 2 delta-method standard errors of its logarithm. "
        if plan.existence == "exists"
        else "no standard error is honest. "
    )
    text = f"Plug-in at the {plan.estimate} estimate, {error}Thin line: the KL asked for, {settings['kl']:g}. "
    return head + text + f"Point: the {settings['next']} labels of plan.csv. First-order predictions."
