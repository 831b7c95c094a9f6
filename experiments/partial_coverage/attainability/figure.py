"""The figure of `attainability`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.attainability.runs import ADAM, DPO

_OPEN = {"markerfacecolor": "none", "markeredgewidth": 0.9}
_COMPONENTS = ((0, (0, 1, 2, 3)), (0, (4,)), (0, (5,)), (1, (0, 1, 2)), (1, (3, 4)), (1, (5,)))


def plot(tables: dict[str, Table]):
    """Above: every action's log-ratio at one beta. Below: the distance to HyPO's limit against lambda."""
    made, axes = plotting.figure(2, 1, height=4.7)
    hypo = tables["hypo"]
    betas = np.unique(hypo["beta"])
    # The middle one; of an even number the lower of two.
    beta, smallest = float(betas[(len(betas) - 1) // 2]), hypo["penalty"].min()
    dpo, adam = (tables["dpo"].where(optimizer=name, beta=beta) for name in (DPO, ADAM))
    _draw_actions(axes[0], dpo, "dpo", -0.28, label="DPO, gradient descent")
    _draw_actions(axes[0], adam, "dpo", 0.0, label="DPO, Adam", marker="d", markersize=5, **_OPEN)
    ends = hypo.where(beta=beta, penalty=smallest)
    _draw_actions(axes[0], ends, "hypo", 0.28, label=f"HyPO, $\\lambda$ = {smallest:g}")
    _label_actions(axes[0], dpo)
    axes[0].set(
        ylabel=r"$\log\,\pi/\pi_{\mathrm{ref}}$ [nats]", xlabel="actions (shaded: linked by labels; dark: unseen)"
    )
    axes[0].set_title("HyPO lifts all unseen actions alike;\nDPO by descent keeps linked actions' sum")
    for value, shade in zip(betas, plotting.shades("hypo", len(betas)), strict=True):
        rows = hypo.where(beta=value)
        penalties = np.unique(rows["penalty"])
        ends = [rows.where(penalty=penalty) for penalty in penalties]
        distances = np.array([np.abs(end["log_ratio"] - end["predicted"]).max() for end in ends])
        axes[1].plot(penalties, distances, plotting.MARKERS["hypo"], color=shade, markersize=4.5, gid="labelled")
        line = plotting.theory(axes[1], penalties, np.abs(rows["slope"]).max() * penalties, color=shade)
        plotting.direct_label(line, f"$\\beta$ = {value:g}", place=len(penalties) // 2, offset=(-5, 4))
    axes[1].set(xscale="log", yscale="log", xlabel=r"penalty $\lambda$")
    axes[1].set_ylabel(r"distance to the $\lambda\to 0$ limit [nats]")
    axes[1].set_title(r"HyPO's distance to its limit is of order $\lambda$")
    plotting.legend(made, columns=2, theory_label="closed form")
    descents = (hypo, tables["dpo"].where(optimizer=DPO), tables["datasets"])
    steps, norm = (max(rows[name].max() for rows in descents) for name in ("num_steps", "gradient_norm"))
    norm = float(f"{norm:.0e}")
    plotting.caption(
        made,
        "Tabular softmax, two contexts of six actions, population labels. Descent: at most "
        f"{steps:,} steps, to gradients of at most {plotting.number(norm)}. Above: $\\beta$ = {beta:g}; "
        "Adam has no closed form. Below: HyPO, largest difference of log-probabilities; dashed: its derivative at 0 "
        "times $\\lambda$.",
    )
    return made


def _draw_actions(ax, rows: Table, key: str, offset: float, **look) -> None:
    places, color = _places(rows) + offset, plotting.COLORS[key]
    ax.plot(places, rows["log_ratio"], color=color, **{"linestyle": "", "marker": plotting.MARKERS[key]} | look)
    if "markerfacecolor" in look:  # Adam has no closed form
        return
    for place, value in zip(places, rows["predicted"], strict=True):
        plotting.theory(ax, place + np.array([-0.42, 0.42]), np.array([value, value]), key)


def _label_actions(ax, rows: Table) -> None:
    places = _places(rows)
    for context, members in _COMPONENTS:
        chosen = places[(rows["context"] == context) & np.isin(rows["action"], members)]
        shade = "#F1F1F1" if len(members) > 1 else "#E0D8E4"
        ax.axvspan(chosen.min() - 0.6, chosen.max() + 0.6, color=shade, zorder=0)
    for context in np.unique(rows["context"]):
        middle = places[rows["context"] == context].mean()
        words = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "top", "fontsize": 7}
        ax.annotate(f"context {context + 1}", (middle, 0.99), **words)
    ax.set_ylim(top=ax.get_ylim()[1] + 0.2)
    ax.set_xticks(places, [f"$a_{action}$" for action in rows["action"] + 1])
    ax.grid(visible=False, axis="x")


def _places(rows: Table) -> np.ndarray:
    """Where an action stands: in order, with gaps between components and contexts."""
    gaps = np.array([[0, 0, 0, 0, 0.4, 0.8], [0, 0, 0, 0.4, 0.4, 0.8]])
    return rows["action"] + 6.0 * rows["context"] + gaps[rows["context"], rows["action"]] + 1.7 * rows["context"]
