"""The figure of `attainability`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.attainability.runs import ADAM, DPO

_COMPONENTS = ((0, (0, 1, 2, 3)), (0, (4,)), (0, (5,)), (1, (0, 1, 2)), (1, (3, 4)), (1, (5,)))


def plot(tables: dict[str, Table]):
    """Above: every action's log-ratio at one beta. Below: the distance to HyPO's limit against lambda."""
    made, axes = plotting.figure(2, 1, height=4.6)
    hypo = tables["hypo"]
    betas = np.unique(hypo["beta"])
    # The middle one; of an even number the lower of two.
    beta, smallest = float(betas[(len(betas) - 1) // 2]), hypo["penalty"].min()
    dpo, adam = (tables["dpo"].where(optimizer=name, beta=beta) for name in (DPO, ADAM))
    _draw_actions(axes[0], dpo, "dpo", -0.2, "DPO, gradient descent")
    _draw_actions(axes[0], adam, "ipo", 0.0, "DPO, Adam")
    ends = hypo.where(beta=beta, penalty=smallest)
    _draw_actions(axes[0], ends, "hypo", 0.2, f"HyPO, $\\lambda$ = {smallest:g}")
    _label_actions(axes[0], dpo)
    axes[0].set(ylabel=r"$\log\,\pi/\pi_{\mathrm{ref}}$", xlabel="actions, by component of compared pairs")
    for value, shade in zip(betas, plotting.shades("hypo", len(betas)), strict=True):
        rows = hypo.where(beta=value)
        penalties = np.unique(rows["penalty"])
        ends = [rows.where(penalty=penalty) for penalty in penalties]
        distances = np.array([np.abs(end["log_ratio"] - end["predicted"]).max() for end in ends])
        slope = np.abs(rows["slope"]).max()
        axes[1].plot(penalties, distances, plotting.MARKERS["hypo"], color=shade, label=f"HyPO, $\\beta$ = {value:g}")
        plotting.theory(axes[1], penalties, slope * penalties, "hypo")
    axes[1].set(xscale="log", yscale="log", xlabel=r"penalty $\lambda$")
    axes[1].set_ylabel(r"distance to the $\lambda\to 0$ limit")
    plotting.legend(made, columns=2, theory_label="closed form")
    descents = (hypo, tables["dpo"].where(optimizer=DPO), tables["datasets"])
    steps, norm = (max(rows[name].max() for rows in descents) for name in ("num_steps", "gradient_norm"))
    plotting.caption(
        made,
        "Tabular softmax, two contexts of six actions, population labels. Gradient descent: at most "
        f"{steps:,} steps, to gradients of at most {norm:.0e}. Above: beta "
        f"= {beta:g}. Below: largest difference of log-probabilities; dashed: its derivative at 0 times lambda.",
    )
    return made


def _draw_actions(ax, rows: Table, key: str, offset: float, label: str) -> None:
    places = _places(rows) + offset
    ax.plot(places, rows["log_ratio"], plotting.MARKERS[key], color=plotting.COLORS[key], label=label, markersize=3.2)
    for place, value in zip(places, rows["predicted"], strict=True):
        if key != "ipo":  # Adam has no closed form
            plotting.theory(ax, place + np.array([-0.42, 0.42]), np.array([value, value]), key)


def _label_actions(ax, rows: Table) -> None:
    places = _places(rows)
    for context, members in _COMPONENTS:
        chosen = places[(rows["context"] == context) & np.isin(rows["action"], members)]
        shade = "#F1F1F1" if len(members) > 1 else "#E0D8E4"
        ax.axvspan(chosen.min() - 0.46, chosen.max() + 0.46, color=shade, zorder=0)
    names = np.where(rows["unseen"], "unseen", [f"$a_{action}$" for action in rows["action"] + 1])
    ax.set_xticks(places, names, rotation=45)
    ax.grid(visible=False, axis="x")


def _places(rows: Table) -> np.ndarray:
    """Where an action stands: in order, with gaps between components and contexts."""
    gaps = np.array([[0, 0, 0, 0, 0.3, 0.6], [0, 0, 0, 0.3, 0.3, 0.6]])
    return rows["action"] + 6.0 * rows["context"] + gaps[rows["context"], rows["action"]] + 1.5 * rows["context"]
