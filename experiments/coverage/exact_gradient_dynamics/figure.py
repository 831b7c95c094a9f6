"""The figure of exact_gradient_dynamics, from its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from banditlab import plotting
from banditlab.claims import Table
from experiments.coverage.exact_gradient_dynamics.runs import INSTANCES, SMALLEST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Name in the figure, colour and marker.
_LOOKS = {
    "uniform": ("uniform", plotting.COLORS["uniform"], plotting.MARKERS["uniform"]),
    "on_policy": ("on-policy", plotting.COLORS["on_policy"], plotting.MARKERS["on_policy"]),
    "policy_reference": (r"$\pi\times\pi_{ref}$ (XPO)", "#117733", "v"),
    "pilaf_weighted": ("PILAF, weighted", "#AA4499", "P"),
    "mix_r": ("Mix-R", "#DDAA33", "^"),
    "mix_p": ("Mix-P", "#661100", "D"),
}


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Error against the step, one panel per number of actions; dashed, the derived rates."""
    made, axes = plotting.figure(2, 1, height=4.4, sharey=True)
    for ax, instance in zip(axes, ("2 actions", "3 actions"), strict=True):
        for part, table in tables.items():
            for sampler in dict.fromkeys(table["sampler"].tolist()):
                rows = table.where(instance=instance, sampler=sampler)
                shown = rows.kept(rows["step"] <= 16)
                label, color, marker = _LOOKS[sampler]
                ax.plot(shown["step"], shown["error"], color=color, marker=marker, label=label)
                if part == "own_step":
                    plotting.theory(ax, rows["step"][2:] + 1, rows["quadratic"][2:])
                elif rows["rate"][0] > 0.01:
                    steps = shown["step"][-6:]
                    plotting.theory(ax, steps, shown["error"][-1] * rows["rate"][0] ** (steps - steps[-1]))
        rewards = ", ".join(f"{r:g}" for r in INSTANCES[instance][0])
        ax.set_title(f"{instance}: r* = {rewards}; beta = {rows['beta'][0]:g}")
        ax.set_yscale("log")
        ax.set_ylim(SMALLEST, 10)
        ax.set_ylabel(r"max $|\Delta r^* - \Delta\hat r|$")
    axes[1].set_xlabel("exact gradient steps")
    plotting.legend(made, columns=3, theory_label="derived rate")
    plotting.caption(
        made,
        "Population DPO, tabular softmax, uniform reference, start at the reference; no randomness. Mix-R "
        "and Mix-P take the step that their weights give, the others the best constant one, computed from r*. Dashed: "
        "rho^k for linear convergence; the quadratic map applied to each error of Mix-R and Mix-P. With two actions "
        "uniform, XPO and Mix-R coincide.",
    )
    return made
