"""The figure of the phase diagram: success, absorption, contraction, and how well candidate thresholds collapse it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

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
# Name in the figure, and whose colour and marker.
LOOKS = {
    "none": ("none", "offline"),
    "ridge_previous": ("ridge, last", "on_policy"),
    "ridge_reference": ("ridge, ref.", "uniform"),
    "cap": ("cap", "hybrid_paired"),
}


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


def spread(cells: Table, starts: Table, threshold: str) -> float:
    """Standard deviation over dials of log10(n_half / threshold): 0 if the threshold collapses the curves."""
    found = half_success(cells)
    return float(np.std([half - np.log10(starts.where(dial=dial)[threshold][0]) for dial, half in found.items()]))


def plot(tables: Mapping[str, Table]):
    """Maps of success; absorption by regulariser; contraction; how well thresholds collapse the maps."""
    made, axes = plotting.figure(3, 2, height=6.2)
    cells, factor = tables["cells"], tables["guarantees"]["factor"][0]
    free = cells.where(regulariser="none")
    present = list(dict.fromkeys(free["instance"].tolist()))
    for ax, instance in zip(axes.flat, present, strict=False):
        image = _draw_map(ax, free.where(instance=instance), tables["guarantees"].where(instance=instance))
        ax.set(xlabel="$\\log_{10} n$", ylabel=DIALS[instance], title=instance)
        made.colorbar(image, ax=ax, ticks=[0, 0.5, 1])
    chain = cells.kept(cells["instance"] == "chain")
    dial = chain.where(regulariser=chain["regulariser"][-1])["dial"].max()
    _draw_absorbed(axes[1, 1], chain.where(dial=dial), tables["exact"].where(dial=dial))
    _draw_contraction(axes[2, 0], free, present)
    _draw_collapse(axes[2, 1], free, tables["starts"], present)
    plotting.legend(made, columns=1, theory_label="Proposition 4 guarantees success right of it (maps); exact law")
    said = [f"{name} {_precision_and_recall(free.where(instance=name))}" for name in present]
    held = f"ridge {chain['ridge'].max():g} on the sum of losses, cap {chain['max_norm'].min():g}"
    plotting.caption(
        made,
        "On-policy DPO, fresh batches of n labels, no ridge and no cap unless named, linear softmax. Maps: share of "
        f"{free['seeds'][0]} seeds whose KL after {free['rounds'][0]} rounds is within {factor:g} times the floor "
        f"C_F(pi*)/(2n); grey: pi_0 itself is. Absorbed (chain, theta_0 = {-dial:g}): less than one informative pair "
        f"expected in the next batch; {held}. KL factor: until "
        "arrival, from the worst pi_0. Spread: standard deviation over initial policies of log10(n half / threshold), "
        "n half where half the runs succeed; 0 would be a collapse. Precision and recall of "
        f"Proposition 3's certificate on the first batch as a forecast: {'; '.join(said)}.",
    )
    return made


def _precision_and_recall(cells: Table) -> str:
    """Of runs: P(success | first batch certified) and P(first batch certified | success)."""
    proved, both, won = (cells[name].mean() for name in ("certified", "certified_success", "success"))
    return f"{both / proved:.2f} and {both / won:.2f}"


def _draw_map(ax: "Axes", cells: Table, promised: Table):
    dials, batches = np.unique(cells["dial"]), np.unique(cells["num_pairs"])
    shape = (len(dials), len(batches))
    share = np.ma.masked_array(cells["success"].reshape(shape), cells["trivial"].reshape(shape).astype(bool))
    image = ax.pcolormesh(np.log10(batches), dials, share, vmin=0, vmax=1, cmap="viridis", shading="nearest")
    ax.set_facecolor("#D9D9D9")
    guaranteed = promised["guarantee"].reshape(shape) > 0
    first = np.where(guaranteed.any(axis=1), np.log10(batches)[guaranteed.argmax(axis=1)], np.inf)
    plotting.theory(ax, first, dials)
    return image


def _draw_absorbed(ax: "Axes", cells: Table, law: Table) -> None:
    lines = {}
    cells = cells.kept(cells["num_pairs"] <= 1e4)
    for regulariser in dict.fromkeys(cells["regulariser"].tolist()):
        rows, (name, look) = cells.where(regulariser=regulariser), LOOKS[regulariser]
        color, marker = plotting.COLORS[look], plotting.MARKERS[look]
        lines[name] = ax.plot(rows["num_pairs"], rows["absorbed"], color=color, marker=marker)[0]
        if regulariser in law["regulariser"]:
            exact = law.where(regulariser=regulariser)
            plotting.theory(ax, exact["num_pairs"], exact["exact_absorbed"], look)
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


def _draw_collapse(ax: "Axes", free: Table, starts: Table, present: list[str]) -> None:
    places = np.arange(len(THRESHOLDS))
    for offset, (instance, shade) in enumerate(zip(present, SHADES, strict=False)):
        cells, thresholds = (table.where(instance=instance) for table in (free, starts))
        if len(half_success(cells)) > 1:
            heights = [spread(cells, thresholds, name) for name in THRESHOLDS]
            ax.bar(places + 0.27 * (offset - 1), heights, 0.25, color=shade)
    ax.set_xticks(places, list(THRESHOLDS.values()), fontsize=6, rotation=30)
    ax.set(title="spread after scaling")
