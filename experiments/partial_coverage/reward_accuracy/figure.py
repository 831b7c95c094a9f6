"""The figure of `reward_accuracy`."""

from itertools import cycle

import numpy as np

from banditlab import plotting
from banditlab.claims import Table


def plot(table: Table):
    """The error and the gap against p."""
    made, axes = plotting.figure(2, 1, height=4.0, sharex=True)
    finite = table.kept(table["mass"] > 0)
    ends, most = (finite["beta"].min(), finite["beta"].max()), finite["reward"].max()
    drawn = finite.kept(np.isin(finite["beta"], ends) & ((finite["reward"] >= 0) | (finite["reward"] == most)))
    rewards = np.unique(drawn["reward"])
    shades = dict(zip(rewards, zip(plotting.shades("reference", len(rewards)), cycle("o^s")), strict=False))
    for beta, reward in dict.fromkeys(zip(drawn["beta"].tolist(), drawn["reward"].tolist(), strict=True)):
        rows, (color, marker) = drawn.where(beta=beta, reward=reward), shades[reward]
        # Where two temperatures agree the open marker of one is seen around the filled one of the other.
        look = {"color": color, "marker": marker, "linestyle": "", "markeredgewidth": 0.8}
        look |= {"markersize": 3} if beta == ends[-1] else {"markersize": 6, "markerfacecolor": "none"}
        for ax, name, unit in zip(axes, ("error", "gap"), (1.0, beta), strict=True):
            ax.plot(rows["mass"], rows[name] / unit, label=rf"$\beta$ = {beta:g}, $r$ = {reward:g}", **look)
            plotting.theory(ax, rows["mass"], rows[f"{name}_exact"] / unit, color=color)
    rows = drawn.where(beta=ends[-1], reward=most)
    bound = {"color": "#666666", "linewidth": 0.9, "linestyle": ":"}
    (line,) = axes[1].plot(rows["mass"], rows["bound"] / ends[-1], **bound)
    where = {"place": len(rows) // 2, "offset": (-4, 4)}
    plotting.direct_label(line, rf"bound $\sqrt{{C\,\epsilon}}$ at $\beta$ = {ends[-1]:g}, $r$ = {most:g}", **where)
    axes[0].set(xscale="log", yscale="log", ylabel=r"$\epsilon$, error on pairs [reward$^2$]")
    axes[0].set_title("The implicit reward gets better as $p$ falls ...")
    axes[1].set(xlabel=r"mass $p$ of the rare action under $\pi_{\mathrm{ref}}$")
    axes[1].set(ylabel=r"gap $J(\pi^*)-J(\pi)$ [$\beta$]")
    axes[1].set_title("... and its policy worse")
    axes[1].invert_xaxis()
    plotting.legend(made, columns=2, theory_label="closed form")
    plotting.caption(
        made,
        "$\\pi_{\\mathrm{ref}}$ = ($1-p$, $p$), $\\pi$ = (1/2, 1/2), rewards (0, $r$): existence only, no algorithm is "
        "claimed to end there. Once $p\\,e^{r/\\beta}$ is small the gap grows by $(\\beta/2)\\log 10$ per decade; "
        "before, $\\pi^*$ passes through $\\pi$. At $p$ = 0 (not drawn) $\\epsilon$ = 0 and $J=-\\infty$. Exact, by "
        "summation.",
    )
    return made
