"""The figure of `population_losses`: the limits over the actions, their rewards, and samples over closed forms."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.didactic.population_losses import laws
from experiments.didactic.population_losses.runs import LANES, PEAKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {"best_of_n": "on_policy", "rwr": "design", "awr": "design_one_round", "pref_ft": "hybrid_paired"}
LOOKS |= {"dpo": "dpo", "ipo": "ipo"}
NAMES = {"best_of_n": "Best-of-N", "rwr": "RWR", "awr": "AWR", "pref_ft": "Pref-FT", "dpo": "DPO", "ipo": "IPO"}
NAMES |= {"best_of_n_negative": "BoN - rest", "best_of_n_worst": "BoN - worst", "reinforce": "REINFORCE"}
NAMES |= {"reinforce on-policy": "REINFORCE, own", "ppo on-policy": "PPO, own"}


def plot(table: Table) -> "Figure":
    """The limits over the actions; their rewards; samples over closed forms."""
    made, axes = plotting.figure(3, 1, height=7.0, gridspec_kw={"height_ratios": [1, 0.9, 1.5]})
    _draw_laws(axes[0], table)
    _draw_values(axes[1], table)
    _draw_ratios(axes[2], table)
    plotting.legend(made)
    growth, trained = (table.where(part=part) for part in ("growth", "trained"))
    plotting.caption(
        made,
        "a, b: limits of a tabular policy on 100 actions: best of 10 draws, beta = 0.25 (RWR, AWR, DPO), DPO's labels "
        "at temperature 0.2, IPO's target 1. Offline REINFORCE and Best-of-N (BoN) less the rest, or less the worst, "
        f"have no limit. c: growth of E R in a descent step, {growth['x'][0]:.0f} batches of 1024 states with 4 draws "
        "(circles: R1 at the reference, squares: R2 at the uniform policy; own: draws of the policy), and E R after "
        f"Adam on all of a data set (triangles: 20 actions, 4 data sets of {trained['x'].min():.0f} states), over the "
        "closed form; bars: what the checks allow.",
    )
    return made


def _draw_laws(ax: "Axes", table: Table) -> None:
    for name in ("reference", *laws.FIXED):
        rows = table.where(part="law", name=name)
        key = LOOKS.get(name, "reference")
        ax.plot(rows["x"], rows["value"], color=plotting.COLORS[key], label=NAMES.get(name, "reference"), linewidth=1.1)
    ax.set(xlabel="action", ylabel="mass", yscale="log", ylim=(3e-4, 0.3), xlim=(0, 99))
    ax.set_title("a  limits on $R_1$ (peak 70)")


def _draw_values(ax: "Axes", table: Table) -> None:
    for place, case in enumerate(PEAKS):
        for other, name in enumerate(laws.FIXED):
            value = table.where(part="value", case=case, name=name)["value"][0]
            ax.bar(place + (other - 2.5) * 0.14, value, width=0.13, color=plotting.COLORS[LOOKS[name]])
    ax.set(xticks=(0, 1), xticklabels=("$R_1$", "$R_2$"), ylabel=r"$E_\pi R$ in the limit", ylim=(0, 1))
    ax.set_title("b  what the limits earn")


def _draw_ratios(ax: "Axes", table: Table) -> None:
    order = list(NAMES)
    parts = [("growth", case, marker, shift) for case, marker, shift in zip(LANES, "os", (0.22, 0.0), strict=True)]
    for part, case, marker, shift in (*parts, ("trained", "20 actions", "^", -0.22)):
        rows = table.where(part=part, case=case)
        for place, name in enumerate(rows["name"].tolist()):
            key = LOOKS.get(name, "reference")
            scale = abs(rows["predicted"][place])
            ratio = rows["value"][place] / rows["predicted"][place]
            bar = ((4 + rows["bias"][place]) * rows["value_se"][place] + rows["left"][place]) / scale
            ax.errorbar(
                ratio,
                -order.index(name) + shift,
                xerr=bar,
                fmt=marker,
                color=plotting.COLORS[key],
                ms=3,
                elinewidth=0.8,
            )
    ax.axvline(1.0, color="#000000", linewidth=0.9, linestyle=(0, (4, 2)), gid="theory")
    ax.set(yticks=-np.arange(len(order)), yticklabels=[NAMES[name] for name in order])
    ax.set(xlabel="samples / closed form", xlim=(0.955, 1.045))
    ax.set_title("c  samples agree")
