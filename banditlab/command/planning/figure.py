"""The label planner's page: label prices with their errors, and the predicted KL against further labels."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.command.planning.report import EXISTENCE, NAMES, number
from banditlab.planner import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Whose look in the figures a sampler has.
_LOOKS = {
    "data": "offline",
    "on_policy": "on_policy",
    "uniform": "uniform",
    "joint": "design_one_round",
    "triple": "design",
}


def draw(plan: Plan, settings: dict[str, float]) -> "Figure":
    """One page: label prices, and the predicted KL against further labels; leverages without an estimate."""
    known = plan.estimate != "none"
    made, axes = plotting.figure(2 if known else 1, 1, height=4.0 if known else 1.8, squeeze=False)
    values = plan.assessment.price if known else plan.leverage
    errors = plan.assessment.price_se if known else np.full(len(values), np.inf)
    with plotting.style():
        _prices(axes[0, 0], plan, np.asarray(values), np.asarray(errors))
        if known:
            axes[0, 0].set(title="What a label costs", xlabel=r"label price $C_F$ [labels $\times$ nats]")
            _curves(axes[1, 0], plan, settings)
        else:
            axes[0, 0].set(title="The lower, the more a label tells", xlabel="leverage $G$, the largest variance")
    if known:
        plotting.legend(made, columns=2)
    plotting.caption(made, _caption(plan, settings))
    return made


def _prices(ax: "Axes", plan: Plan, values: np.ndarray, errors: np.ndarray) -> None:
    finite, usable = np.isfinite(values), np.isfinite(errors) & np.isfinite(values)
    # Errors of the logarithm: a price is positive, and near exponential in the parameters.
    factor = np.exp(plotting.NUM_ERRORS * np.divide(errors, values, out=np.zeros(len(values)), where=usable))
    least, most = min((values / factor)[finite], default=1.0), max((values * factor)[finite], default=1.0)
    log = most > 10 * least
    # The numbers stand to the right.
    start, end = (least / 1.3, most * (most / least) ** 0.2) if log else (0.0, 1.25 * most)
    ax.set_xscale("log" if log else "linear")
    for row, (name, value) in enumerate(zip(plan.samplers, values, strict=True)):
        key = _LOOKS[name]
        words = {"textcoords": "offset points", "va": "center", "fontsize": 7}
        if not finite[row]:
            bar = {"color": "none", "hatch": "////", "edgecolor": plotting.COLORS[key], "linewidth": 0}
            ax.barh(row, end - start, left=start, height=0.6, **bar)
            box = {"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 1.0}
            ax.annotate("infinite: a direction is never shown", (start, row), xytext=(6, 0), bbox=box, **words)
            continue
        reach = [[value - value / factor[row]], [value * factor[row] - value]] if factor[row] > 1 else None
        look = {"color": plotting.COLORS[key], "fmt": plotting.MARKERS[key], "markersize": 5, "elinewidth": 0.9}
        ax.errorbar([value], [row], xerr=reach, gid="labelled", **look)
        place = (value * factor[row], row)
        ax.annotate(number(value), place, xytext=(5 if factor[row] > 1 else 7, 0), **words)
    if log:
        _round_ticks(ax.xaxis, start, end)
    ax.set(xlim=(start, end), ylim=(len(values) - 0.5, -0.5))
    ax.set_yticks(range(len(values)), [NAMES[name] for name in plan.samplers])
    ax.grid(visible=False, axis="y")


def _curves(ax: "Axes", plan: Plan, settings: dict[str, float]) -> None:
    # All are predictions, hence dashed, and in the looks of the prices.
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="further labels",
        ylabel="KL$(\\pi^*\\,\\|\\,\\hat\\pi)$ [nats]",
    )
    apart = max(len(plan.curve_labels) // 5, 1)
    for place, (name, curve) in enumerate(zip(plan.samplers, plan.curve_kl, strict=True)):
        drawn = np.where(np.isfinite(curve), curve, np.nan)
        key, start = _LOOKS[name], place * apart // len(plan.samplers)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markevery": (start, apart)}
        ax.plot(plan.curve_labels, drawn, linestyle="--", linewidth=1.1, label=NAMES[name], **look)
    asked = ax.axhline(settings["kl"], color="#000000", linewidth=0.6)
    plotting.direct_label(asked, f"asked for: {settings['kl']:g}", place=0, offset=(3, -6))
    look = {"color": plotting.COLORS["oracle"], "marker": plotting.MARKERS["oracle"], "markersize": 5.5}
    ax.plot(settings["next"], plan.next_kl, linestyle="", label="the next pairs", zorder=4, **look)
    _round_ticks(ax.yaxis, *ax.get_ylim())
    ax.set_title("What further labels buy")


def _round_ticks(axis: "Axis", low: float, high: float) -> None:
    """1, 2 and 5 of every decade where these are few, in plain digits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if high < 1000 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(NullFormatter())


def _caption(plan: Plan, settings: dict[str, float]) -> str:
    head = (
        f"{plan.num_comparisons:,.0f} comparisons, linear softmax of rank {plan.env.rank}, $\\beta$ = "
        f"{settings['beta']:g}. "
    )
    if plan.estimate == "none":
        return head + f"{EXISTENCE[plan.existence].capitalize()}. Leverage of one label, which needs no estimate."
    error = (
        f"{plotting.BARS} They are those of the logarithm, by the delta method."
        if plan.existence == "exists"
        else "No standard error is honest."
    )
    text = f"First-order predictions, plugged in at the {plan.estimate} estimate. {error} "
    return head + text + f"Diamond: the {settings['next']:,} labels of plan.csv."
