"""The figure of `gap_bound`."""

from itertools import cycle

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.gap_bound.exact_cases import CONTEXT_COLUMNS
from experiments.partial_coverage.gap_bound.runs import ADVERSARIAL, DPO, HYPO, OWN, RANDOM, RLHF

LOOKS = {
    DPO: ("dpo", "DPO, $C_{glo}$"),
    RLHF: ("rlhf", "RLHF, $C_{kl}$"),
    HYPO: ("hypo", "HyPO, $C_{kl}$"),
    RANDOM: ("uniform", "random, least C"),
    ADVERSARIAL: ("oracle", "ascent, least C"),
}
SHARP_LOOKS = ("hybrid_design", "design")
CONTEXT_LOOKS = ("on_policy_pooled", "hybrid_mixture", "on_policy", "hybrid_paired")


def plot(tables: dict[str, Table]):
    """The share of bandits above a ratio; the sharp family; mean and maximum over contexts."""
    made, axes = plotting.figure(3, 1, height=6.2)
    largest = []
    for kind, constant in OWN.items():
        rows, (key, label) = tables["ratios"].where(policy=kind, constant=constant), LOOKS[kind]
        largest.append(rows["ratio"][-1])
        axes[0].plot(rows["ratio"], 1 - rows["level"], color=plotting.COLORS[key], label=label)
        axes[0].plot(largest[-1], 0.0, plotting.MARKERS[key], color=plotting.COLORS[key], ms=5)
    axes[0].axvline(1.0, color="#888888", linewidth=0.8, zorder=1)
    axes[0].set(xlabel=r"gap / $\sqrt{C\,\epsilon}$", ylabel="share of bandits above")
    axes[0].set(xscale="log", xlim=(1e-4, 1.5))
    axes[0].set_title("a  the bound holds")
    for constant, key in zip(dict.fromkeys(tables["sharp"]["constant"].tolist()), cycle(SHARP_LOOKS)):
        rows, look = tables["sharp"].where(constant=constant), {"color": plotting.COLORS[key]}
        label = f"sharp, C = {constant:g}"
        axes[1].plot(rows["reward_gap"], rows["ratio"], plotting.MARKERS[key], label=label, **look)
        plotting.theory(axes[1], rows["reward_gap"], rows["predicted"], key)
    axes[1].axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
    axes[1].set(xscale="log", xlabel=r"reward gap $L$ (units of $\beta$)", ylabel=r"gap / $\sqrt{C\,\epsilon}$")
    axes[1].set(ylim=(0, 1.08))
    axes[1].set_title("b  and its constant is the best possible")
    rows = tables["contexts"].kept(tables["contexts"]["mass"] > 0)
    rows = rows.where(mass=rows["mass"].min())
    for (name, words), key in zip(CONTEXT_COLUMNS.items(), CONTEXT_LOOKS, strict=True):
        look = {"color": plotting.COLORS[key], "ms": 4.5}
        axes[2].plot(rows["contexts"], rows[name], plotting.MARKERS[key], label=words, **look)
        plotting.theory(axes[2], rows["contexts"], rows[f"{name}_predicted"], key)
    axes[2].set(xscale="log", yscale="log", xlabel="contexts, one of them uncovered", ylabel=r"gap or bound / $\beta$")
    axes[2].set_title("c  the mean over contexts hides it")
    plotting.legend(made, columns=2, theory_label="closed form")
    sizes = tables["identity"].where(policy=RANDOM)
    ascents = tables["identity"].where(policy=ADVERSARIAL)["bandits"][0]
    plotting.caption(
        made,
        f"a: {sizes['bandits'][0]} random bandits a kind, {ascents} ascents of the ratio ({sizes['contexts'][0]} "
        f"contexts, {sizes['actions'][0]} actions, mu = pi_ref); DPO, RLHF, HyPO by their closed forms with noisy "
        f"rewards, some actions unseen. Markers: the largest, {max(largest):.3f} "
        "at most. b: pi* and pi nearly deterministic on different actions, mu = 1/C on both. c: pi = (1/2, 1/2), "
        f"pi_ref = (1 - p, p) in one context, p = {rows['mass'][0]:g}, and pi = pi* in the others. Exact, by "
        "summation.",
    )
    return made
