"""The figure of `population_losses`: the limits over the actions, their rewards, and samples over closed forms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact import population_losses as laws
from experiments.didactic.population_losses.runs import LANES, PEAKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"best_of_n": "Best-of-N", "rwr": "RWR", "awr": "AWR", "pref_ft": "Pref-FT", "dpo": "DPO", "ipo": "IPO"}
NAMES |= {"best_of_n_negative": "BoN - rest", "best_of_n_worst": "BoN - worst", "reinforce": "REINFORCE"}
NAMES |= {"reinforce on-policy": "REINFORCE, own", "ppo on-policy": "PPO, own"}
_SHOWN = ("value", "growth", "trained")


def plot(tables: Mapping[str, Table]) -> "Figure":
    """The limits over the actions; their rewards; samples over closed forms."""
    made, axes = plotting.figure(3, 1, height=7.0, gridspec_kw={"height_ratios": [1, 0.9, 1.5]})
    _draw_laws(axes[0], tables["law"])
    _draw_values(axes[1], tables["value"])
    _draw_ratios(axes[2], tables["growth"], tables["trained"])
    plotting.legend(made)
    limit, growth, trained = ({k: v[0] for k, v in tables[part].columns.items()} for part in _SHOWN)
    plotting.caption(
        made,
        f"a, b: limits of a tabular policy on {len(tables['law'].where(method='reference'))} actions: best of "
        f"{limit['num_samples']} draws, beta = {limit['beta']:g} (RWR, AWR, DPO), DPO's labels at temperature "
        f"{limit['temperature']:g}, IPO's target {limit['ipo_target']:g}. Offline REINFORCE and Best-of-N (BoN) less "
        f"the rest, or less the worst, have no limit. c: growth of E R in a descent step, {growth['batches']} batches "
        f"of {growth['states']} states with {growth['draws']} draws (circles: R1 at the reference, squares: R2 at the "
        f"uniform policy; own: draws of the policy), and E R after Adam on all of a data set (triangles: "
        f"{trained['actions']} actions, {trained['seeds']} data sets of {tables['trained']['observations'].min():.0f} "
        "states), over the closed form; bars: what the checks allow.",
    )
    return made


def _draw_laws(ax: "Axes", table: Table) -> None:
    for name in ("reference", *laws.FIXED):
        rows, key = table.where(method=name), name if name in laws.FIXED else "reference"
        look = {"color": plotting.COLORS[key], "label": NAMES.get(name, "reference"), "linewidth": 1.1}
        ax.plot(rows["action"], rows["mass"], **look)
    ax.set(xlabel="action", ylabel="mass", yscale="log", ylim=(3e-4, 0.3), xlim=(0, table["action"].max()))
    ax.set_title(f"a  limits on $R_1$ (peak {PEAKS['R1']:g})")


def _draw_values(ax: "Axes", table: Table) -> None:
    for place, bandit in enumerate(PEAKS):
        for other, name in enumerate(laws.FIXED):
            value = table.where(bandit=bandit, method=name)["reward"][0]
            ax.bar(place + (other - 2.5) * 0.14, value, width=0.13, color=plotting.COLORS[name])
    ax.set(xticks=(0, 1), xticklabels=("$R_1$", "$R_2$"), ylabel=r"$E_\pi R$ in the limit", ylim=(0, 1))
    ax.set_title("b  what the limits earn")


def _draw_ratios(ax: "Axes", growth: Table, trained: Table) -> None:
    order = list(NAMES)
    looks = dict(zip(LANES, (("o", 0.22), ("s", 0.0)), strict=True))
    lanes = [(growth.where(setting=case), "growth", *look) for case, look in looks.items()]
    for rows, measured, marker, shift in (*lanes, (trained, "reward", "^", -0.22)):
        left = rows["left"] if measured == "reward" else 0.0
        bars = ((4 + rows["bias"]) * rows[f"{measured}_se"] + left) / np.abs(rows["predicted"])
        ratios = rows[measured] / rows["predicted"]
        for name, ratio, bar in zip(rows["method"].tolist(), ratios, bars, strict=True):
            look = {
                "fmt": marker,
                "color": plotting.COLORS[name if name in laws.FIXED else "reference"],
                "ms": 3,
                "elinewidth": 0.8,
            }
            ax.errorbar(ratio, -order.index(name) + shift, xerr=bar, **look)
    ax.axvline(1.0, color="#000000", linewidth=0.9, linestyle=(0, (4, 2)), gid="theory")
    ax.set(yticks=-np.arange(len(order)), yticklabels=[NAMES[name] for name in order])
    ax.set(xlabel="samples / closed form", xlim=(0.955, 1.045))
    ax.set_title("c  samples agree")
