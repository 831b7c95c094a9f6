"""The figure of the phase diagram: success, absorption, contraction, and how well candidate thresholds collapse it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THRESHOLDS = {
    "threshold": "Proposition 4",
    "price": r"$C_F(\pi_0)$",
    "coverage": r"$C_{\mathrm{op}}(\pi_0)$",
    "leverage": r"$G(\pi_0)$",
}
DIALS = {"chain": r"$-\theta_0$", "needle": r"$-\log_{10}\epsilon$", "staircase": "start $u$"}
REGULARISERS = {
    "none": "none",
    "cap": "cap",
    "ridge_previous": r"ridge at $\theta_k$",
    "ridge_reference": r"ridge at $\theta = 0$",
}
MARKERS = "osvD"


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
    """Above, maps of success; below, absorption by regulariser, contraction, how well thresholds collapse the maps."""
    cells, factor = tables["cells"], tables["guarantees"]["factor"][0]
    free = cells.where(regulariser="none")
    present = list(dict.fromkeys(free["instance"].tolist()))
    made, axes = plotting.figure(2, 3, width=plotting.PAGE_WIDTH, height=4.6)
    images = []
    for ax, instance in zip(axes[0], present, strict=False):
        images.append(_draw_map(ax, free.where(instance=instance), tables["guarantees"].where(instance=instance)))
        ax.set(ylabel=f"{DIALS[instance]} (worse upwards)", title=_map_title(instance, free.where(instance=instance)))
    for ax in axes[0, len(present) :]:
        ax.set_axis_off()
    scale = made.colorbar(images[-1], ax=list(axes[0]), ticks=[0, 0.5, 1], aspect=14, pad=0.01)
    scale.set_label("share that succeeds")
    chain = cells.kept(cells["instance"] == "chain")
    dial = chain.where(regulariser=chain["regulariser"][-1])["dial"].max()
    _draw_absorbed(axes[1, 0], chain.where(dial=dial), tables["exact"].where(dial=dial))
    _draw_contraction(axes[1, 1], free, present)
    _draw_collapse(axes[1, 2], free, tables["starts"], present)
    for ax in axes.flat[: len(present)].tolist() + axes[1, :2].tolist():
        ax.set(xlabel="labels a batch, $n$")
        ax.xaxis.get_major_locator().set_params(numticks=5)
    plotting.caption(
        made,
        "On-policy DPO on fresh batches, linear softmax, no ridge or cap unless named. Above: share of "
        f"{free['seeds'][0]:,} seeds whose KL after {free['rounds'][0]} rounds is within {factor:g} times "
        r"$C_F(\pi^*)/(2n)$; grey: $\pi_0$ is; dashed: Proposition 12 guarantees it to the right. Below left: chain, "
        f"$\\theta_0$ = ${-dial:g}$; absorbed: under one informative pair expected in the next batch; ridge "
        f"{chain['ridge'].max():g}, cap {chain['max_norm'].min():g}. Middle: until arrival, from the worst "
        r"$\pi_0$. Right: standard deviation over $\pi_0$; $n_{1/2}$: half the runs succeed.",
    )
    return made


def _map_title(instance: str, cells: Table) -> str:
    """The least batch tried from which on at least half the runs succeed from the worst start."""
    worst, name = cells.where(dial=cells["dial"].max()), instance.capitalize()
    short = np.flatnonzero(worst["success"] < 0.5)
    if not len(short) or short[-1] + 1 == len(worst):
        return name
    batch = plotting.number(float(worst["num_pairs"][short[-1] + 1]))
    return f"{name}: from the worst start\nhalf succeed from $n$ = {batch} on"


def _draw_map(ax: "Axes", cells: Table, promised: Table):
    dials, batches = np.unique(cells["dial"]), np.unique(cells["num_pairs"])
    shape = (len(dials), len(batches))
    share = np.ma.masked_array(cells["success"].reshape(shape), cells["trivial"].reshape(shape).astype(bool))
    corners = 10.0 ** _edges(np.log10(batches)), _edges(dials)
    image = ax.pcolormesh(*corners, share, vmin=0, vmax=1, cmap="viridis", shading="flat")
    ax.set(xscale="log", facecolor="#D9D9D9")
    guaranteed = promised["guarantee"].reshape(shape) > 0
    reached = guaranteed.any(axis=1)
    line = plotting.theory(ax, np.where(reached, batches[guaranteed.argmax(axis=1)], np.inf), dials)
    if reached.any():
        plotting.direct_label(line, "guaranteed →", place=int(np.flatnonzero(reached)[-1]), offset=(-4, 0))
    return image


def _edges(centres: np.ndarray) -> np.ndarray:
    """The edges of cells with these centres: halfway between them, and as far outside."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _draw_absorbed(ax: "Axes", cells: Table, law: Table) -> None:
    cells = cells.kept(cells["num_pairs"] <= 1e4)
    names = [name for name in REGULARISERS if name in cells["regulariser"]]
    for name, shade, marker in zip(names, plotting.shades("on_policy", len(names)), MARKERS, strict=False):
        rows = cells.where(regulariser=name)
        bars = plotting.NUM_ERRORS * rows["absorbed_se"]
        look = {"color": shade, "marker": marker, "elinewidth": 0.8, "label": REGULARISERS[name]}
        # The cap's points lie on those without regulariser: open and larger, so that both are seen.
        look |= {"markerfacecolor": "none", "markeredgewidth": 0.8, "markersize": 6, "ls": ""} if name == "cap" else {}
        ax.errorbar(rows["num_pairs"], rows["absorbed"], bars, **look)
        if name == "none" and name in law["regulariser"]:
            exact = law.where(regulariser=name)
            plotting.theory(ax, exact["num_pairs"], exact["exact_absorbed"], color=shade)
    plotting.legend(ax, columns=1, theory_label="exact law", loc="upper right")
    n = cells["num_pairs"]
    # Room for the legend on the right.
    ax.set(xscale="log", xlim=(0.7 * n.min(), 30 * n.max()), ylabel="share of runs absorbed")
    ax.set_title(_absorbed_title(cells))


def _absorbed_title(cells: Table) -> str:
    """What helps at the smallest batch: at least half of the absorbed runs saved counts as help."""
    first = cells.where(num_pairs=cells["num_pairs"].min())
    share = dict(zip(first["regulariser"].tolist(), first["absorbed"].tolist(), strict=True))
    ridges = [value for name, value in share.items() if name.startswith("ridge")]
    if ridges and "cap" in share and max(ridges) < 0.5 * share["none"] < share["cap"]:
        return "Ridges save runs from\nabsorption, a cap does not"
    return "Absorption by regulariser"


def _draw_contraction(ax: "Axes", free: Table, present: list[str]) -> None:
    for instance, marker, shade in zip(present, MARKERS, plotting.shades("reference", len(present)), strict=False):
        cells = free.where(instance=instance)
        rows = cells.where(dial=cells["dial"].max())
        ax.plot(rows["num_pairs"], np.exp(rows["rate"]), marker=marker, color=shade, label=instance)
    plotting.legend(ax, columns=1, loc="lower left")
    ax.set(xscale="log", yscale="log", ylabel="KL factor a round")
    ax.set_title("Past the threshold larger\nbatches contract faster")


def _draw_collapse(ax: "Axes", free: Table, starts: Table, present: list[str]) -> None:
    places, worst = -np.arange(len(THRESHOLDS)), {}
    for offset, (instance, shade) in enumerate(zip(present, plotting.shades("reference", len(present)), strict=False)):
        cells, thresholds = (table.where(instance=instance) for table in (free, starts))
        if len(half_success(cells)) > 1:
            widths = [spread(cells, thresholds, name) for name in THRESHOLDS]
            worst[instance] = widths
            ax.barh(places + 0.27 * (1 - offset), widths, 0.25, color=shade)
            place = (widths[0], 0.27 * (1 - offset))
            ax.annotate(instance, place, (3, 0), textcoords="offset points", va="center", fontsize=7)
    ax.set_yticks(places, list(THRESHOLDS.values()))
    ax.set(xlim=(0, 1.35 * max(map(max, worst.values()), default=1.0)))
    ax.set(xlabel=r"spread of $\log_{10}(n_{1/2}$ / threshold)", title=_collapse_title(worst))


def _collapse_title(worst: Mapping[str, list[float]]) -> str:
    """Whether the chain alone is brought to one curve: every spread below half the others' least."""
    others = [min(widths) for name, widths in worst.items() if name != "chain"]
    if others and "chain" in worst and max(worst["chain"]) < 0.5 * min(others):
        return "Thresholds bring the chain to\none curve, not the others"
    return "Spread that thresholds leave"
