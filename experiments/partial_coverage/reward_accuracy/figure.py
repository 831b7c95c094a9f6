"""The figure of `reward_accuracy`."""

from typing import TYPE_CHECKING

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.reward_accuracy.checks import lanes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOOKS = ("on_policy_pooled", "hybrid_design", "hybrid_mixture", "design")


def plot(table: Table) -> "Figure":
    """The error and the gap against p."""
    made, axes = plotting.figure(2, 1, height=4.0, sharex=True)
    finite = Table({name: values[table["mass"] > 0] for name, values in table.columns.items()})
    ends = (finite["beta"].min(), finite["beta"].max())
    lanes = [lane for lane in lanes_of(finite) if lane[0] in ends and lane[1] >= 0]
    for (beta, reward), key in zip(lanes, _LOOKS[: len(lanes)], strict=True):
        rows = finite.where(beta=beta, reward=reward)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linestyle": ""}
        for ax, name, unit in zip(axes, ("error", "gap"), (1.0, beta), strict=True):
            ax.plot(rows["mass"], rows[name] / unit, label=rf"$\beta$ = {beta:g}, $r^*$ = (0, {reward:g})", **look)
            plotting.theory(ax, rows["mass"], rows[f"{name}_exact"] / unit, key)
    largest = max(lanes)
    rows = finite.where(beta=largest[0], reward=largest[1])
    axes[1].plot(
        rows["mass"],
        rows["bound"],
        ":",
        color="#888888",
        label=rf"$\sqrt{{C\,\epsilon}}$, $\beta$ = {largest[0]:g}, $r^*$ = (0, {largest[1]:g})",
    )
    axes[0].set(xscale="log", yscale="log", ylabel=r"$\epsilon$, squared error on pairs")
    axes[0].set_title("the implicit reward gets better ...")
    axes[1].set(xlabel=r"mass $p$ of the rare action under $\pi_{\rm ref}$", ylabel=r"$[J(\pi^*)-J(\pi)]\,/\,\beta$")
    axes[1].set_title("... and its policy worse")
    axes[1].invert_xaxis()
    plotting.legend(made, columns=2, theory_label="closed form")
    plotting.caption(
        made,
        "pi_ref = (1 - p, p), pi = (1/2, 1/2): existence only, no algorithm is claimed to end there. Once p e^(r/beta) "
        "is small the gap grows by (beta/2) log 10 per decade; before, pi* passes through pi. At p = 0 (not drawn) "
        "eps = 0 and J = -inf. Exact, by summation.",
    )
    return made
