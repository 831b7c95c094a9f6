"""The figure of `population_losses`: the limits over the actions, their rewards, and samples over closed forms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from banditlab.exact import population_losses as laws
from experiments.didactic.population_losses.runs import LANES, PEAKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORDER = ("best_of_n", "rwr", "awr", "pref_ft", "dpo", "ipo", "best_of_n_negative", "best_of_n_worst", "reinforce")
_NAMES = {name: plotting.LABELS[name] for name in _ORDER}
_NAMES |= {"reinforce on-policy": "REINFORCE, own draws", "ppo on-policy": "PPO, own draws"}
# Of growths in the order of LANES, and of training: marker, place in a method's row.
_LOOKS = (("o", 0.22), ("s", 0.0), ("^", -0.22))

_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}


def plot(tables: Mapping[str, Table]) -> "Figure":
    """The limits over the actions; their rewards; samples over closed forms."""
    made, (left, middle, right) = plotting.figure(
        1, 3, width=plotting.PAGE_WIDTH, height=3.7, width_ratios=(1.5, 0.8, 1.2)
    )
    _draw_laws(left, tables["law"])
    _draw_values(middle, tables["value"], tables["endless"])
    _draw_ratios(right, tables["growth"], tables["trained"])
    middle.set_yticks(-np.arange(len(_NAMES)), list(_NAMES.values()))
    right.set_yticks(-np.arange(len(_NAMES)), [])
    for ax in (middle, right):
        ax.set_ylim(0.6 - len(_NAMES), 0.5)
    marks = [("$R_1$ (c: a step from $\\pi_{\\mathrm{ref}}$)", 0), ("$R_2$ (c: a step from uniform)", 1)]
    marks += [("c: after training", 2)]
    extra = [plotting.proxy(label, marker=_LOOKS[place][0]) for label, place in marks]
    plotting.legend(made, columns=3, theory_label="closed form", extra=extra)
    parts = ("value", "growth", "trained")
    limit, growth, trained = ({k: v[0] for k, v in tables[part].columns.items()} for part in parts)
    plotting.caption(
        made,
        f"a, b: limits of a tabular policy on {len(tables['law'].where(method='reference'))} actions, Best-of-"
        rf"{limit['num_samples']}, $\beta$ = {limit['beta']:g} (RWR, AWR, DPO), DPO's labels at temperature "
        f"{limit['temperature']:g}, IPO's target {limit['ipo_target']:g}. c: growth of reward in a descent step, "
        f"{growth['batches']} batches of {growth['states']:,} states with {growth['draws']} draws, and reward after "
        f"Adam on {trained['seeds']} data sets of {tables['trained']['observations'].min():,.0f} or more observations, "
        f"{trained['actions']} actions. Bars: four standard errors, and what bias and training left undone may add.",
    )
    return made


def _draw_laws(ax: "Axes", table: Table) -> None:
    for place, name in enumerate(("reference", *laws.FIXED)):
        rows, key = table.where(method=name), name if name in laws.FIXED else "reference"
        marks = {"marker": plotting.MARKERS[key], "markevery": ((2 * place - 4) % 16, 16), "markersize": 4}
        if key == "reference":
            marks = {"linestyle": "-."}
        look = {"color": plotting.COLORS[key], "label": plotting.LABELS[key], "linewidth": 1.1, **marks}
        ax.plot(rows["action"], rows["mass"], **look)
    ax.set(xlabel="action", ylabel="mass of an action", yscale="log", ylim=(3e-4, 0.4), xlim=(0, table["action"].max()))
    ax.set_title(f"a  RWR, AWR and DPO tilt by reward,\nthe others by rank ($R_1$, peak {PEAKS['R1']:g})")


def _draw_values(ax: "Axes", table: Table, endless: Table) -> None:
    for bandit, (marker, shift) in zip(PEAKS, _LOOKS, strict=False):
        for name in laws.FIXED:
            value = table.where(bandit=bandit, method=name)["reward"][0]
            look = {"color": plotting.COLORS[name], "markersize": 5}
            ax.plot(value, shift - 0.11 - _place(name), marker, **look)
    for name in dict.fromkeys(endless["method"].tolist()):
        ax.text(0.5, -_place(name), "no limit", fontsize=7, ha="center", va="center", bbox=_WHITE)
    ax.set(xlabel=r"reward $E_\pi R$", xlim=(0, 1.05), title="b  Ranks earn\nlittle on $R_1$")


def _draw_ratios(ax: "Axes", growth: Table, trained: Table) -> None:
    lanes = [(growth.where(setting=case), "growth", *look) for case, look in zip(LANES, _LOOKS, strict=False)]
    for rows, measured, marker, shift in (*lanes, (trained, "reward", *_LOOKS[2])):
        left = rows["left"] if measured == "reward" else 0.0
        bars = ((4 + rows["bias"]) * rows[f"{measured}_se"] + left) / np.abs(rows["predicted"])
        ratios = rows[measured] / rows["predicted"]
        for name, ratio, bar in zip(rows["method"].tolist(), ratios, bars, strict=True):
            # The label of its row names a method.
            look: dict[str, Any] = {
                "fmt": marker,
                "gid": "labelled",
                "color": plotting.COLORS[name.removesuffix(" on-policy")],
            }
            ax.errorbar(ratio, shift - _place(name), xerr=bar, markersize=3, elinewidth=0.8, **look)
    ax.axvline(1.0, color="#000000", linewidth=0.9, linestyle=(0, (4, 2)), gid="theory")
    ax.set(xlabel="samples / closed form", title="c  Samples agree with\nthe closed forms")


def _place(name: str) -> int:
    return list(_NAMES).index(name)
