"""The figure of `gap_bound`."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.gap_bound import exact_cases as cases
from experiments.partial_coverage.gap_bound.runs import ADVERSARIAL, DPO, HYPO, OWN, RANDOM, RLHF

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = {DPO: "dpo", RLHF: "rlhf", HYPO: "hypo", RANDOM: "uniform", ADVERSARIAL: "oracle"}
NAMES = {DPO: "DPO, $C_{glo}$", RLHF: "RLHF, $C_{kl}$", HYPO: "HyPO, $C_{kl}$", RANDOM: "random, least C"}
NAMES |= {ADVERSARIAL: "ascent, least C"}
SHARP_LOOKS = ("hybrid_design", "design")
CONTEXT_LOOKS = ("on_policy_pooled", "hybrid_mixture", "on_policy", "hybrid_paired")


def plot(table: Table) -> "Figure":
    """The share of bandits above a ratio; the sharp family; mean and maximum over contexts."""
    made, axes = plotting.figure(3, 1, height=6.2)
    for kind, constant in OWN.items():
        rows = table.where(part=f"ratio {constant}", case=kind)
        axes[0].plot(rows["value"], 1 - rows["x"], color=plotting.COLORS[LOOKS[kind]], label=NAMES[kind])
        axes[0].plot(rows["value"][-1], 0.0, plotting.MARKERS[LOOKS[kind]], color=plotting.COLORS[LOOKS[kind]], ms=5)
    axes[0].axvline(1.0, color="#888888", linewidth=0.8, zorder=1)
    axes[0].set(xlabel=r"gap / $\sqrt{C\,\epsilon}$", ylabel="share of bandits above")
    axes[0].set(xscale="log", xlim=(1e-4, 1.5))
    axes[0].set_title("a  the bound holds")
    for case, key in zip(dict.fromkeys(table.where(part="sharp")["case"].tolist()), SHARP_LOOKS, strict=True):
        rows = table.where(part="sharp", case=case)
        axes[1].plot(rows["x"], rows["value"], plotting.MARKERS[key], color=plotting.COLORS[key], label=case)
        plotting.theory(axes[1], rows["x"], rows["predicted"], key)
    axes[1].axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
    axes[1].set(xscale="log", xlabel=r"reward gap $L$ (units of $\beta$)", ylabel=r"gap / $\sqrt{C\,\epsilon}$")
    axes[1].set(ylim=(0, 1.08))
    axes[1].set_title("b  and its constant is the best possible")
    mass = float(np.min(table["mass"][table["mass"] > 0]))
    for case, key in zip(cases.CONTEXT_CASES, CONTEXT_LOOKS, strict=True):
        rows = table.where(part="contexts", case=case, mass=mass)
        axes[2].plot(rows["x"], rows["value"], plotting.MARKERS[key], color=plotting.COLORS[key], label=case, ms=4.5)
        plotting.theory(axes[2], rows["x"], rows["predicted"], key)
    axes[2].set(xscale="log", yscale="log", xlabel="contexts, one of them uncovered", ylabel=r"gap or bound / $\beta$")
    axes[2].set_title("c  the mean over contexts hides it")
    plotting.legend(made, columns=2, theory_label="closed form")
    count, ascents = (table.where(part="identity", case=kind)["count"][0] for kind in (RANDOM, ADVERSARIAL))
    worst = max(table.where(part=f"ratio {OWN[kind]}", case=kind, x=1.0)["value"][0] for kind in OWN)
    plotting.caption(
        made,
        f"a: {count} random bandits a kind, {ascents} ascents of the ratio (3 contexts, 5 actions, mu = pi_ref); DPO, "
        f"RLHF, HyPO by their closed forms with noisy rewards, some actions unseen. Markers: the largest, {worst:.3f} "
        "at most. b: pi* and pi nearly deterministic on different actions, mu = 1/C on both. c: pi = (1/2, 1/2), "
        f"pi_ref = (1 - p, p) in one context, p = {mass:g}, and pi = pi* in the others. Exact, by summation.",
    )
    return made
