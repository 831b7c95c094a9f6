"""The figure of `one_sided_data`: KL and log-ratios along training, and the critical penalty over beta."""

import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.one_sided_data.runs import HYPO, RLHF


def plot(tables: dict[str, Table]):
    """Training curves with the fewest actions over their flow; below, measured brackets on the computed line."""
    made, axes = plotting.figure(3, 1, height=5.6, gridspec_kw={"height_ratios": [1, 1, 1.05]})
    fewest = tables["runs"]["actions"].min()
    runs = tables["runs"].where(actions=fewest)
    held = runs["name"][runs["method"] == HYPO].tolist()
    shades = dict(zip(held, plotting.shades("hypo", len(held) + 2)[-2:0:-1], strict=True))
    marks = dict(zip(held, ("<", ">", "^", "v", "8", "H"), strict=False))
    for name, method, beta, penalty in zip(*(runs[key] for key in ("name", "method", "beta", "penalty")), strict=True):
        rows = tables["curves"].where(name=name)
        look = {"marker": marks.get(name, plotting.MARKERS[method]), "color": shades.get(name, plotting.COLORS[method])}
        label = f"{plotting.LABELS[method]}, $\\beta$ = {beta:g}"
        label += f", $\\lambda$ = {penalty:.2f}" if method == HYPO else ""
        for ax, column, flow in ((axes[0], "kl", "flow_kl"), (axes[1], "gap", "flow")):
            ax.plot(rows["step"], rows[column], label=label, linewidth=1, markevery=3, **look)
            plotting.theory(ax, rows["step"], rows[flow])
    note = {"textcoords": "offset points", "fontsize": 7}
    axes[0].axhline(np.log(fewest), color="#888888", linewidth=0.6, zorder=1)
    axes[0].annotate(f"log {fewest:g}", (1, np.log(fewest)), xytext=(0, -9), **note)
    axes[0].set(xscale="log", ylabel=r"KL($\pi\|\pi_{\rm ref}$)")
    axes[1].set(xscale="log", xlabel="gradient steps", ylabel="log-ratio gap $D$")
    # The first number of actions is the curves'; the second shows that the critical lambda depends on it.
    for key, actions in zip(("hypo", "reference"), np.unique(tables["lines"]["actions"]), strict=False):
        line, rows = (tables[part].where(actions=actions) for part in ("lines", "critical"))
        plotting.theory(axes[2], line["beta"], line["predicted"], key)
        middle, half = (rows["escapes"] + rows["stops"]) / 2, (rows["stops"] - rows["escapes"]) / 2
        look = {"color": plotting.COLORS[key], "marker": "D" if key == "hypo" else "s", "markersize": 3}
        label = f"critical $\\lambda$, A = {actions:g}"
        axes[2].errorbar(rows["beta"], middle, half, linestyle="", label=label, **look)
        peak = int(np.argmax(line["predicted"]))
        top = (line["beta"][peak], line["predicted"][peak])
        axes[2].annotate(f"A = {actions:g}", top, xytext=(0, -11), ha="center", **note)
    axes[2].annotate("held", (0.86, 0.55), fontsize=7)
    axes[2].annotate("escapes", (0.5, 0.03), fontsize=7, ha="center")
    axes[2].set(xlabel=r"$\beta$", ylabel=r"critical $\lambda$", xlim=(0, 1), ylim=(0, None))
    plotting.legend(made, theory_label="predicted")
    bounds = np.unique(runs["bound"][runs["method"] == RLHF])
    rlhf = f"RLHF: policy gradients on the reward fitted with $|r| \\leq$ {', '.join(f'{b:g}' for b in bounds)}. "
    failed = tables["runs"]["failed"].sum() + tables["critical"]["failed"].sum()
    plotting.caption(
        made,
        "Uniform reference, action 0 wins every label; tabular softmax, "
        f"{tables['curves']['step'].max():,.0f} plain gradient steps of {runs['step_size'][0]:g}. Top and middle: "
        f"{fewest:g} actions; dashed, gradient flow (closed form for DPO), which the first, long steps outrun. "
        f"{rlhf if len(bounds) else ''}"
        r"Bottom: the largest $\lambda$ tried that escapes to the smallest that stops within these "
        r"steps; near $\beta$ = 1 the turn comes too late for them. "
        f"Runs not finite: {failed:.0f}; curves that reached no stationary point, as predicted: "
        f"{(runs['end'] == bl.Status.max_steps).sum()} of {len(runs)}.",
    )
    return made
