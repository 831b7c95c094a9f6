"""The figure of `attainability`."""

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.partial_coverage.attainability.checks import rows_where
from experiments.partial_coverage.attainability.runs import ADAM, DPO, HYPO


def plot(table: Table):
    """Above: every action's log-ratio at one beta. Below: the distance to HyPO's limit against lambda."""
    made, axes = plotting.figure(2, 1, height=4.6)
    beta = float(np.median(np.unique(table["beta"])))
    smallest = table["penalty"][table["penalty"] > 0].min()
    for offset, optimizer, key, label in (
        (-0.2, DPO, "dpo", "DPO, gradient descent"),
        (0.0, ADAM, "ipo", "DPO, Adam"),
        (0.2, HYPO, "hypo", f"HyPO, $\\lambda$ = {smallest:g}"),
    ):
        penalty = smallest if optimizer == HYPO else 0.0
        rows = table.where(optimizer=optimizer, beta=beta, penalty=penalty, dataset=-1)
        _draw_actions(axes[0], rows, key, offset, label)
    _label_actions(axes[0], table.where(optimizer=DPO, beta=beta, dataset=-1))
    axes[0].set(ylabel=r"$\log\,\pi/\pi_{\mathrm{ref}}$", xlabel="actions, by component of compared pairs")
    shades = plotting.shades("hypo", len(np.unique(table["beta"])))
    trained = table.where(optimizer=HYPO)
    for value, shade in zip(np.unique(table["beta"]), shades, strict=True):
        ends = [trained.where(beta=value, penalty=penalty) for penalty in np.unique(trained["penalty"])]
        penalties = np.array([end["penalty"][0] for end in ends])
        distances = np.array([np.abs(end["log_ratio"] - end["predicted"]).max() for end in ends])
        slope = np.abs(ends[0]["slope"]).max()
        axes[1].plot(penalties, distances, plotting.MARKERS["hypo"], color=shade, label=f"HyPO, $\\beta$ = {value:g}")
        plotting.theory(axes[1], penalties, slope * penalties, "hypo")
    axes[1].set(xscale="log", yscale="log", xlabel=r"penalty $\lambda$")
    axes[1].set_ylabel(r"distance to the $\lambda\to 0$ limit")
    plotting.legend(made, columns=2, theory_label="closed form")
    exact = rows_where(table, table["optimizer"] != ADAM)
    plotting.caption(
        made,
        "Tabular softmax, two contexts of six actions, population labels. Gradient descent: at most "
        f"{table['num_steps'].max():,} steps, to gradients of at most {exact['gradient_norm'].max():.0e}. Above: beta "
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
    for context, members in ((0, (0, 1, 2, 3)), (0, (4,)), (0, (5,)), (1, (0, 1, 2)), (1, (3, 4)), (1, (5,))):
        chosen = places[(rows["context"] == context) & np.isin(rows["action"], members)]
        ax.axvspan(
            chosen.min() - 0.46, chosen.max() + 0.46, color="#F1F1F1" if len(members) > 1 else "#E0D8E4", zorder=0
        )
    ax.set_xticks(
        places,
        [
            "unseen" if unseen else f"$a_{action}$"
            for unseen, action in zip(rows["unseen"], rows["action"] + 1, strict=True)
        ],
        rotation=45,
    )
    ax.grid(visible=False, axis="x")


def _places(rows: Table) -> np.ndarray:
    """Where an action stands: in order, with gaps between components and contexts."""
    gaps = np.array([[0, 0, 0, 0, 0.3, 0.6], [0, 0, 0, 0.3, 0.3, 0.6]])
    return rows["action"] + 6.0 * rows["context"] + gaps[rows["context"], rows["action"]] + 1.5 * rows["context"]
