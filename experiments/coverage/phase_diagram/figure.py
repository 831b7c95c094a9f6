"""The figure of the phase diagram: success, absorption, contraction, and how well candidate thresholds collapse it."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Table
from experiments.coverage.phase_diagram import runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THRESHOLDS = {
    "threshold": "Prop. 4",
    "price": "$C_F(\\pi_0)$",
    "coverage": "$C_{op}(\\pi_0)$",
    "leverage": "$G(\\pi_0)$",
}
DIALS = {"chain": "$-\\theta_0$", "needle": "$-\\log_{10}\\epsilon$", "staircase": "start $u$"}
SHADES = ("#222222", "#777777", "#B5B5B5")
NAMES = {"none": "none", "ridge_previous": "ridge, last", "ridge_reference": "ridge, ref.", "cap": "cap"}
LOOKS = {"none": "offline", "ridge_previous": "on_policy", "ridge_reference": "uniform", "cap": "hybrid_paired"}


def precision_and_recall(cells: Table, kind: str) -> tuple[float, float]:
    """Of runs: P(success | proved) and P(proved | success); kind "certified" (first batch) or "sure" (every batch)."""
    proved, both, won = (cells[name].mean() for name in (kind, f"{kind}_success", "success"))
    return both / proved, both / won


def half_success(cells: Table) -> dict[float, float]:
    """Dial -> log10 n at which half the runs succeed, where the batches tried hold the crossing.

    Cells in which pi_0 itself would do are left out.
    """
    found = {}
    for dial in np.unique(cells["dial"]):
        rows = cells.where(dial=dial)
        useful = ~rows["trivial"].astype(bool)
        n, share = np.log10(rows["num_pairs"][useful]), np.maximum.accumulate(rows["success"][useful])
        if len(n) and share[0] < 0.5 <= share[-1]:
            found[float(dial)] = float(np.interp(0.5, share, n))
    return found


def spread(cells: Table, threshold: str) -> float:
    """Standard deviation over dials of log10(n_half / threshold): 0 if the threshold collapses the curves."""
    found = half_success(cells)
    return float(np.std([half - np.log10(cells.where(dial=dial)[threshold][0]) for dial, half in found.items()]))


def plot(table: Table):
    made, axes = plotting.figure(3, 2, height=6.2)
    free = table.where(regulariser="none")
    present = [name for name in runs.INSTANCES if name in free["instance"]]
    for ax, instance in zip(axes.flat, present, strict=False):
        image = _draw_map(ax, free.where(instance=instance), instance)
        made.colorbar(image, ax=ax, ticks=[0, 0.5, 1])
    _draw_absorbed(axes[1, 1], table.where(instance="chain", dial=4.0))
    _draw_contraction(axes[2, 0], free, present)
    _draw_collapse(axes[2, 1], free, present)
    plotting.legend(made, columns=1, theory_label="Proposition 4 guarantees success right of it (maps); exact law")
    plotting.caption(made, _caption(free, present))
    return made


def _draw_map(ax: "Axes", cells: Table, instance: str):
    dials, batches = np.unique(cells["dial"]), np.unique(cells["num_pairs"])
    share = cells["success"].reshape(len(dials), len(batches))
    trivial = cells["trivial"].reshape(share.shape).astype(bool)
    image = ax.pcolormesh(
        np.log10(batches), dials, np.ma.masked_array(share, trivial), vmin=0, vmax=1, cmap="viridis", shading="nearest"
    )
    ax.set_facecolor("#D9D9D9")
    guaranteed = cells["guarantee"].reshape(share.shape) > 0
    first = np.where(guaranteed.any(axis=1), np.log10(batches)[guaranteed.argmax(axis=1)], np.inf)
    plotting.theory(ax, first, dials)
    ax.set(xlabel="$\\log_{10} n$", ylabel=DIALS[instance], title=instance)
    return image


def _draw_absorbed(ax: "Axes", cells: Table) -> None:
    lines = {}
    for regulariser, look in LOOKS.items():
        if regulariser not in cells["regulariser"]:
            continue
        rows = cells.where(regulariser=regulariser)
        kept = rows["num_pairs"] <= 1e4
        n, share = rows["num_pairs"][kept], rows["absorbed"][kept]
        lines[NAMES[regulariser]] = ax.plot(n, share, color=plotting.COLORS[look], marker=plotting.MARKERS[look])[0]
        plotting.theory(ax, n, rows["exact_absorbed"][kept], look)
    ax.legend(lines.values(), lines.keys(), fontsize=6, loc="upper right", handlelength=1.0)
    ax.set(xscale="log", xlabel="n", title="share absorbed")


def _draw_contraction(ax: "Axes", free: Table, present: list[str]) -> None:
    lines = []
    for instance, marker, shade in zip(present, "ovs", SHADES, strict=False):
        cells = free.where(instance=instance)
        rows = cells.where(dial=cells["dial"].max())
        lines += ax.plot(rows["num_pairs"], np.exp(rows["rate"]), marker=marker, color=shade)
    ax.legend(lines, present, fontsize=6)
    ax.set(xscale="log", yscale="log", xlabel="n", title="KL factor a round")


def _draw_collapse(ax: "Axes", free: Table, present: list[str]) -> None:
    places = np.arange(len(THRESHOLDS))
    for offset, (instance, shade) in enumerate(zip(present, SHADES, strict=False)):
        cells = free.where(instance=instance)
        heights = (
            [spread(cells, name) for name in THRESHOLDS] if len(half_success(cells)) > 1 else np.zeros(len(places))
        )
        ax.bar(places + 0.27 * (offset - 1), heights, 0.25, color=shade)
    ax.set_xticks(places, list(THRESHOLDS.values()), fontsize=6, rotation=30)
    ax.set(title="spread after scaling")


def _caption(free: Table, present: list[str]) -> str:
    said = []
    for instance in present:
        precision, recall = precision_and_recall(free.where(instance=instance), "certified")
        said.append(f"{instance} {precision:.2f} and {recall:.2f}")
    return (
        f"On-policy DPO, fresh batches of n labels, no ridge and no cap unless named, linear softmax. Maps: share of "
        f"{free['seeds'][0]} seeds whose KL after {free['rounds'][0]} rounds is within {runs.FACTOR:g} times "
        "the floor C_F(pi*)/(2n); grey: pi_0 itself is. Absorbed (chain, theta_0 = -4): less than one informative pair "
        f"expected in the next batch; ridge 1 on the sum of losses, cap {runs.NORM_CAP:g}. KL factor: until "
        "arrival, from the worst pi_0. Spread: standard deviation over initial policies of log10(n half / threshold), "
        "n half where half the runs succeed; 0 would be a collapse. Precision and recall of "
        f"Proposition 3's certificate on the first batch as a forecast: {'; '.join(said)}."
    )
