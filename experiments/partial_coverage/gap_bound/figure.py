"""The figure of `gap_bound`."""

from itertools import cycle

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.gap_bound.exact_cases import CONTEXT_COLUMNS
from experiments.partial_coverage.gap_bound.runs import ADVERSARIAL, DPO, HYPO, OWN, RANDOM, RLHF

_GREY, _DARK = plotting.shades("reference", 2)
# Colour, marker of the largest ratio, name.
_POLICIES = {
    DPO: (plotting.COLORS["dpo"], "o", r"DPO, $C_{\mathrm{glo}}$"),
    RLHF: (plotting.COLORS["rlhf"], "p", r"RLHF, $C_{\mathrm{kl}}$"),
    HYPO: (plotting.COLORS["hypo"], ">", r"HyPO, $C_{\mathrm{kl}}$"),
    RANDOM: (_GREY, "X", "random, least $C$"),
    ADVERSARIAL: (_DARK, "d", "ascent, least $C$"),
}
# Colour, marker, and where the name stands from the last point.
_CONTEXTS = {
    "largest_bound": (_DARK, "s", (0, 7)),
    "mean_bound": (_GREY, "s", (0, -9)),
    "largest_gap": (_DARK, "o", (0, 6)),
    "mean_gap": (_GREY, "o", (-14, -2)),
}


def plot(tables: dict[str, Table]):
    """The share of bandits above a ratio; the sharp family; mean and maximum over contexts."""
    made, axes = plotting.figure(3, 1, height=6.2, height_ratios=(1, 0.85, 1.25))
    largest = _shares(axes[0], tables["ratios"])
    _sharp(axes[1], tables["sharp"])
    rows = tables["contexts"].kept(tables["contexts"]["mass"] > 0)
    rows = rows.where(mass=rows["mass"].min())
    _contexts(axes[2], rows)
    plotting.legend(made, columns=2, theory_label="closed form")
    sizes = tables["identity"].where(policy=RANDOM)
    ascents = tables["identity"].where(policy=ADVERSARIAL)["bandits"][0]
    plotting.caption(
        made,
        f"a: {sizes['bandits'][0]:,} bandits a kind ({sizes['contexts'][0]} contexts, {sizes['actions'][0]} actions, "
        "$\\mu=\\pi_{\\mathrm{ref}}$); DPO, RLHF and HyPO in closed form from noisy rewards, some actions unseen; "
        f"ascent: {ascents} driven up the ratio's gradient, to {largest:.3f}. b: $\\pi^*$ and $\\pi$ nearly "
        "deterministic on different actions, $\\mu$ = 1/$C$ on both. c: $\\pi$ = (1/2, 1/2); "
        f"$\\pi_{{\\mathrm{{ref}}}}$ = ($1-p$, $p$), $p$ = {plotting.number(rows['mass'][0])}, in one context, "
        "$\\pi=\\pi^*$ in the others. Exact, by summation.",
    )
    return made


def _shares(ax, ratios: Table) -> float:
    """The largest ratio of all."""
    largest = []
    for kind, constant in OWN.items():
        rows, (color, marker, label) = ratios.where(policy=kind, constant=constant), _POLICIES[kind]
        largest.append(rows["ratio"][-1])
        look = {"color": color, "marker": marker, "markersize": 5, "markevery": [-1]}
        ax.plot(rows["ratio"], 1 - rows["level"], label=label, **look)
    line = _bound(ax.axvline)
    plotting.direct_label(line, "the bound", place=1, offset=(-3, 3))
    ax.set(xlabel=r"gap / $\sqrt{C\,\epsilon}$", ylabel="share of bandits above", ylim=(-0.05, None))
    ax.set(xscale="log", xlim=(1e-4, 1.5))
    ax.set_title(r"a  no gap is above $\sqrt{C\,\epsilon}$")
    return max(largest)


def _sharp(ax, sharp: Table) -> None:
    constants = list(dict.fromkeys(sharp["constant"].tolist()))
    shades, looks = plotting.shades("reference", len(constants)), cycle((("s", 5.5, 4), ("o", 3, -7)))
    for constant, color, (marker, size, height) in zip(constants, shades, looks, strict=False):
        rows = sharp.where(constant=constant)
        look = {"color": color, "linestyle": "", "marker": marker, "markersize": size, "gid": "labelled"}
        ax.plot(rows["reward_gap"], rows["ratio"], **look)
        line = plotting.theory(ax, rows["reward_gap"], rows["predicted"], color=color)
        plotting.direct_label(line, f"$C$ = {constant:g}", place=0, offset=(14, height))
    _bound(ax.axhline)
    ax.set(xscale="log", xlabel=r"reward gap $L$ [$\beta$]", ylabel=r"gap / $\sqrt{C\,\epsilon}$", ylim=(0, 1.08))
    ax.set_title("b  the constant 1 cannot be lowered")


def _contexts(ax, rows: Table) -> None:
    for name, (color, marker, offset) in _CONTEXTS.items():
        look = {"color": color, "linestyle": "", "marker": marker, "markersize": 4.5, "gid": "labelled"}
        ax.plot(rows["contexts"], rows[name], **look)
        line = plotting.theory(ax, rows["contexts"], rows[f"{name}_predicted"], color=color)
        plotting.direct_label(line, CONTEXT_COLUMNS[name], offset=offset).set_horizontalalignment("right")
    ax.set(xscale="log", yscale="log", xlabel="contexts, one of them uncovered", ylabel=r"gap or bound [$\beta$]")
    ax.set_ylim(rows["mean_gap"].min() / 2, 3 * rows["largest_bound"].max())
    ax.set_xticks(rows["contexts"], [f"{count:g}" for count in rows["contexts"]])
    ax.minorticks_off()
    ax.set_title("c  a mean over contexts hides an uncovered one")


def _bound(draw):
    return draw(1.0, color="#888888", linewidth=0.8, zorder=1, gid="labelled")
