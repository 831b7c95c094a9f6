"""The figure of exact_gradient_dynamics, from its table."""

from typing import TYPE_CHECKING

from banditlab import plotting
from banditlab.store import Table
from experiments.coverage.exact_gradient_dynamics.runs import INSTANCES, LABELS, OWN_STEP, SMALLEST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {"policy_reference": "#117733", "pilaf_weighted": "#AA4499", "mix_r": "#DDAA33", "mix_p": "#661100"}
_MARKS = {"policy_reference": "v", "pilaf_weighted": "P", "mix_r": "^", "mix_p": "D"}


def plot(table: Table) -> "Figure":
    """Error against the step, one panel per number of actions; dashed, the derived rates."""
    made, axes = plotting.figure(2, 1, height=4.4, sharey=True)
    for ax, instance in zip(axes, ("2 actions", "3 actions"), strict=True):
        for sampler, label in LABELS.items():
            rows = table.where(instance=instance, sampler=sampler)
            shown = rows["step"] <= 16
            color = _COLORS.get(sampler) or plotting.COLORS[sampler]
            marker = _MARKS.get(sampler) or plotting.MARKERS[sampler]
            ax.plot(rows["step"][shown], rows["error"][shown], color=color, marker=marker, label=label)
            if sampler in OWN_STEP:
                plotting.theory(ax, rows["step"][2:] + 1, rows["quadratic"][2:])
            elif rows["rate"][0] > 0.01:
                steps = rows["step"][shown][-6:]
                end = rows["error"][shown][-1]
                plotting.theory(ax, steps, end * rows["rate"][0] ** (steps - steps[-1]))
        rewards = INSTANCES[instance][0]
        ax.set_title(f"{instance}: r* = {', '.join(f'{r:g}' for r in rewards)}")
        ax.set_yscale("log")
        ax.set_ylim(SMALLEST, 10)
        ax.set_ylabel(r"max $|\Delta r^* - \Delta\hat r|$")
    axes[1].set_xlabel("exact gradient steps")
    plotting.legend(made, columns=3, theory_label="derived rate")
    plotting.caption(
        made,
        "Population DPO, tabular softmax, uniform reference, beta = 1, start at the reference; no randomness. Mix-R "
        "and Mix-P take the step that their weights give, the others the best constant one, computed from r*. Dashed: "
        "rho^k for linear convergence; the quadratic map applied to each error of Mix-R and Mix-P. With two actions "
        "uniform, XPO and Mix-R coincide.",
    )
    return made
