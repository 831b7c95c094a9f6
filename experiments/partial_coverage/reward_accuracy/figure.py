"""The figure of `reward_accuracy`."""

from itertools import cycle

from banditlab import plotting
from banditlab.claims import Table

_LOOKS = ("on_policy_pooled", "hybrid_design", "hybrid_mixture", "design")


def plot(table: Table):
    """The error and the gap against p."""
    made, axes = plotting.figure(2, 1, height=4.0, sharex=True)
    finite = table.kept(table["mass"] > 0)
    ends, most = (finite["beta"].min(), finite["beta"].max()), finite["reward"].max()
    lanes = dict.fromkeys(zip(finite["beta"].tolist(), finite["reward"].tolist(), strict=True))
    lanes = [(beta, reward) for beta, reward in lanes if beta in ends and (reward >= 0 or reward == most)]
    names = {lane: rf"$\beta$ = {lane[0]:g}, $r^*$ = (0, {lane[1]:g})" for lane in lanes}
    for (beta, reward), key in zip(lanes, cycle(_LOOKS)):
        rows = finite.where(beta=beta, reward=reward)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linestyle": ""}
        for ax, name, unit in zip(axes, ("error", "gap"), (1.0, beta), strict=True):
            ax.plot(rows["mass"], rows[name] / unit, label=names[beta, reward], **look)
            plotting.theory(ax, rows["mass"], rows[f"{name}_exact"] / unit, key)
    largest = max(lanes)
    rows = finite.where(beta=largest[0], reward=largest[1])
    label = rf"$\sqrt{{C\,\epsilon}}$, {names[largest]}"
    axes[1].plot(rows["mass"], rows["bound"] / largest[0], ":", color="#888888", label=label)
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
