"""One look for every figure: data solid with a quantile band, theory dashed, one colour per algorithm.

Matplotlib is imported when the first figure is made, and its object interface is used throughout: no global
figure, no window, no backend to choose. `save` writes the same bytes for the same figure.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

import numpy as np

from banditlab.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_WIDTH = 3.4  # inches: one column of the usual two-column paper

# Okabe and Ito's palette, then Tol's, for eyes of every kind; markers for what a printer makes grey.
_LOOKS = {
    "offline": ("#D55E00", "o", "offline"),
    "on_policy": ("#0072B2", "s", "on-policy, fresh"),
    "on_policy_pooled": ("#56B4E9", "D", "on-policy, pooled"),
    "uniform": ("#7F7F7F", "X", "uniform"),
    "design": ("#E69F00", "^", "design"),
    "design_one_round": ("#7A4B00", "*", "design, one round"),
    "hybrid_paired": ("#009E73", "v", "hybrid, paired"),
    "hybrid_mixture": ("#CC79A7", "P", "hybrid, mixture"),
    "hybrid_design": ("#332288", "<", "hybrid, design"),
    "hypo": ("#882255", ">", "HyPO"),
    "rlhf": ("#44AA99", "p", "RLHF"),
    "dpo": ("#D55E00", "o", "DPO"),
    "ipo": ("#AA4499", "H", "IPO"),
    "chi_po": ("#117733", "8", "$\\chi$PO"),
    "reference": ("#4D4D4D", "|", "reference"),
    "reward_distillation": ("#999933", "h", "reward distillation"),
    "oracle": ("#000000", "d", "oracle"),
}
COLORS = {key: look[0] for key, look in _LOOKS.items()}
MARKERS = {key: look[1] for key, look in _LOOKS.items()}
LABELS = {key: look[2] for key, look in _LOOKS.items()}

_DASHED = (0, (4, 2))

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
    "lines.markeredgewidth": 0.0,
    "pdf.fonttype": 42,  # TrueType, embedded: publishers refuse Type 3
    "svg.fonttype": "path",
    "svg.hashsalt": "banditlab",
}
# No dates and no program versions: the same figure is the same file.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}


@contextmanager
def style() -> Iterator[None]:
    """The project's Matplotlib settings inside the block; the user's are back after it."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, STYLE))
        yield


class Subplots(TypedDict, total=False):
    """Matplotlib's arguments of a grid of axes."""

    sharex: bool | Literal["none", "all", "row", "col"]
    sharey: bool | Literal["none", "all", "row", "col"]
    squeeze: bool
    width_ratios: Sequence[float]
    height_ratios: Sequence[float]
    gridspec_kw: dict[str, Any]


def figure(
    num_rows: int = 1,
    num_columns: int = 1,
    *,
    width: float = COLUMN_WIDTH,
    height: float = 2.3,
    **subplots: "Unpack[Subplots]",
) -> "tuple[Figure, Any]":
    """A figure in the project's style with its axes, laid out so that labels never overlap.

    Args:
      num_rows, num_columns: of the grid of axes.
      width, height: in inches; a caption adds to the height.
      subplots: passed on to Matplotlib, e.g. ``sharey=True``.
    Returns: (figure, axes); axes is one Axes, or an array of them.
    """
    from matplotlib.figure import Figure

    with style():
        made = Figure(figsize=(width, height), layout="constrained")
        return made, made.subplots(num_rows, num_columns, **cast(dict[str, Any], subplots))


def band(
    ax: "Axes",
    x: np.ndarray,
    quantiles: np.ndarray,
    key: str,
    *,
    label: str | None = None,
    color: str | None = None,
) -> None:
    """Data: the middle quantile as a solid line with markers, the outer two as a band.

    Args:
      x: (K,).
      quantiles: (3, K), lower, middle and upper; infinite values are left out of the drawing.
      key: the algorithm, one of COLORS.
      label: in the legend, LABELS[key] unless given; "" for none.
      color: COLORS[key] unless given, e.g. one of `shades`.
    """
    _require_key(key)
    x, quantiles = np.asarray(x, float), np.asarray(quantiles, float)
    if quantiles.shape != (3, *x.shape) or x.ndim != 1:
        raise ValueError(f"quantiles must be (3, K) for x (K,); got {quantiles.shape} for {x.shape}")
    low, middle, high = np.where(np.isfinite(quantiles), quantiles, np.nan)
    name = LABELS[key] if label is None else label
    with style():
        ax.fill_between(x, low, high, color=color or COLORS[key], alpha=0.2, linewidth=0)
        ax.plot(x, middle, color=color or COLORS[key], marker=MARKERS[key], label=name or None)


def point(ax: "Axes", x: float, quantiles: np.ndarray, key: str) -> None:
    """A single measurement: the middle of three quantiles (3,) as a marker, the outer two as a bar."""
    _require_key(key)
    low, middle, high = np.asarray(quantiles, float)
    with style():
        bar = [[middle - low], [high - middle]]
        ax.errorbar(
            [x],
            [middle],
            bar,
            color=COLORS[key],
            marker=MARKERS[key],
            markersize=6,
            linestyle="",
            label=LABELS[key],
            zorder=4,
        )


def shades(key: str, count: int) -> list[str]:
    """``count`` shades of the algorithm's colour, light to dark, for one algorithm at several settings."""
    _require_key(key)
    channels = [int(COLORS[key][place : place + 2], 16) for place in (1, 3, 5)]
    mixes = np.linspace(-0.65, 0.6, count)  # below zero towards white, above it towards black
    return [
        "#" + "".join(f"{round(c + (255 - c) * -mix if mix < 0 else c * (1 - mix)):02x}" for c in channels)
        for mix in mixes
    ]


def theory(ax: "Axes", x: np.ndarray, y: np.ndarray, key: str | None = None, *, label: str = "") -> None:
    """A prediction: dashed, in a darker shade of the algorithm's colour, or black for one that is of none.

    It lies over the data, and the shade keeps it visible where the two agree.

    Args:
      x, y: (K,); infinite values are left out of the drawing.
      label: in the legend; without one, `legend` explains all dashed lines together.
    """
    if key is not None:
        _require_key(key)
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"y must be (K,) for x (K,); got {y.shape} for {x.shape}")
    color = "#000000" if key is None else _darker(COLORS[key])
    drawn = np.where(np.isfinite(y), y, np.nan)
    with style():
        ax.plot(
            x,
            drawn,
            color=color,
            linestyle=_DASHED,
            linewidth=0.9,
            zorder=3,
            label=label or None,
            gid="theory",
        )


def legend(made: "Figure", *, columns: int = 2, theory_label: str = "theory") -> None:
    """One legend above all axes of the figure, each label once, and one entry for unlabelled dashed lines."""
    from matplotlib.lines import Line2D

    with style():
        entries: dict[str, Any] = {}
        for ax in made.axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                entries.setdefault(label, handle)
            if any(line.get_gid() == "theory" and str(line.get_label())[:1] == "_" for line in ax.lines):
                dashed = Line2D([], [], color="#000000", linestyle=_DASHED, linewidth=0.9)
                entries.setdefault(theory_label, dashed)
        made.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)


def caption(made: "Figure", text: str) -> None:
    """Write ``text`` under the axes, wrapped to the figure's width; the figure grows, nothing is clipped."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style():
        size, margin = 6.5, 0.05
        width, height = made.get_size_inches()
        written = made.text(margin / width, 0.0, "", fontsize=size, va="bottom", linespacing=1.25)
        renderer = FigureCanvasAgg(made).get_renderer()

        def inches(lines: Sequence[str]) -> tuple[float, float]:
            written.set_text("\n".join(lines))
            extent = written.get_window_extent(renderer)
            return extent.width / made.dpi, extent.height / made.dpi

        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and inches([longer])[0] <= width - 2 * margin:
                lines[-1] = longer
            else:
                lines.append(word)
        below = inches(lines)[1] + 2 * margin
        made.set_size_inches(width, height + below)
        written.set_y(margin / (height + below))
        engine = made.get_layout_engine()
        if isinstance(engine, ConstrainedLayoutEngine):
            share = below / (height + below)
            engine.set(rect=(0.0, share, 1.0, 1.0 - share))


def save(made: "Figure", stem: Path) -> list[Path]:
    """Write ``stem``.png (200 dpi), .svg and .pdf (TrueType fonts embedded), each atomically; their paths."""
    paths = []
    # A PDF without dates makes the font library remark that its timestamp is early, twice a figure.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    with style():
        for kind, metadata in _METADATA.items():
            buffer = io.BytesIO()
            made.savefig(buffer, format=kind, dpi=200, metadata=metadata)
            paths.append(stem.with_name(f"{stem.name}.{kind}"))
            write_atomically(paths[-1], buffer.getvalue())
    return paths


def _darker(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"#{red * 2 // 5:02x}{green * 2 // 5:02x}{blue * 2 // 5:02x}"


def _require_key(key: str) -> None:
    if key not in COLORS:
        raise ValueError(f"key must be one of {', '.join(COLORS)}; got {key!r}")
