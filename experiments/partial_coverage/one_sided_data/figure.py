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
    _curves(axes[:2], runs, tables["curves"])
    note = {"textcoords": "offset points", "fontsize": 7}
    axes[0].axhline(np.log(fewest), color="#888888", linewidth=0.6, zorder=1, gid="labelled")
    axes[0].annotate(f"log {fewest:g}", (1, np.log(fewest)), xytext=(0, -9), **note)
    axes[0].set_title("DPO runs to one action;\nso does HyPO below a critical $\\lambda$")
    axes[0].set_ylabel(r"KL$(\pi\|\pi_{\mathrm{ref}})$ [nats]")
    axes[1].set(xlabel="gradient steps", ylabel="log-ratio gap $D$ [nats]")
    axes[1].sharex(axes[0])
    axes[0].tick_params(labelbottom=False)
    # The first number of actions is the curves'; the second shows that the critical lambda depends on it.
    numbers = np.unique(tables["lines"]["actions"])[:2]
    for color, marker, actions in zip(plotting.shades("hypo", len(numbers)), "Ds", numbers, strict=False):
        line, rows = (tables[part].where(actions=actions) for part in ("lines", "critical"))
        computed = plotting.theory(axes[2], line["beta"], line["predicted"], color=color)
        middle, half = (rows["escapes"] + rows["stops"]) / 2, (rows["stops"] - rows["escapes"]) / 2
        look = {"color": color, "marker": marker, "linestyle": "", "elinewidth": 0.8, "capsize": 3}
        axes[2].errorbar(rows["beta"], middle, half, gid="labelled", **look)
        top = int(np.argmax(line["predicted"]))
        plotting.direct_label(computed, f"$A$ = {actions:g}", place=top, offset=(-6, -14))
    axes[2].set(xlabel=r"$\beta$", ylabel=r"critical $\lambda$", xlim=(0, 1), ylim=(0, None))
    axes[2].annotate("HyPO stops", (0.98, 0.85), xycoords="axes fraction", ha="right", fontsize=7)
    axes[2].annotate("HyPO escapes", (0.45, 0.05), xycoords="axes fraction", fontsize=7)
    axes[2].set_title("The critical $\\lambda$ is the computed one")
    plotting.legend(made, columns=2, theory_label="predicted")
    plotting.caption(made, _caption(tables, runs))
    return made


def _curves(axes, runs: Table, curves: Table) -> None:
    held = runs["name"][runs["method"] == HYPO].tolist()
    shades = dict(zip(held, plotting.shades("hypo", len(held) + 1)[1:], strict=True))
    marks = dict(zip(held, ("<", ">", "^", "v", "8", "H"), strict=False))
    for name, method, beta, penalty in zip(*(runs[key] for key in ("name", "method", "beta", "penalty")), strict=True):
        rows = curves.where(name=name)
        look = {"marker": marks.get(name, plotting.MARKERS[method]), "color": shades.get(name, plotting.COLORS[method])}
        label = f"{plotting.LABELS[method]}, $\\beta$ = {beta:g}"
        label += f", $\\lambda$ = {penalty:.2g}" if method == HYPO else ""
        for ax, column, flow in ((axes[0], "kl", "flow_kl"), (axes[1], "gap", "flow")):
            ax.plot(rows["step"], rows[column], label=label, linewidth=1, markevery=3, **look)
            plotting.theory(ax, rows["step"], rows[flow], color=look["color"])
            ax.set(xscale="log")


def _caption(tables: dict[str, Table], runs: Table) -> str:
    bounds = np.unique(runs["bound"][runs["method"] == RLHF])
    rlhf = f" RLHF: policy gradients on the reward fitted with $|r|\\leq$ {', '.join(f'{b:g}' for b in bounds)}."
    failed = int(tables["runs"]["failed"].sum() + tables["critical"]["failed"].sum())
    going_on = int((runs["end"] == bl.Status.max_steps).sum())
    return (
        "Uniform reference, one action wins every label; tabular softmax, "
        f"{tables['curves']['step'].max():,.0f} gradient steps of {runs['step_size'][0]:g}. Top two: "
        f"{runs['actions'][0]:g} actions; dashed: gradient flow, which the first, long steps outrun."
        f"{rlhf if len(bounds) else ''} Below: from the largest $\\lambda$ tried that escapes to the smallest that "
        "stops within these steps; near $\\beta$ = 1 they are too few to tell."
        f"{plotting.only_if(failed, ' Runs not finite: {}.')}"
        f"{plotting.only_if(going_on, f' Curves that go on, as predicted: {{}} of {len(runs)}.')}"
    )
