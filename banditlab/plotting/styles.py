"""The project's Matplotlib settings, the two widths of its figures, and an empty figure."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN_WIDTH = 3.25  # inches: one column of the usual two-column paper
PAGE_WIDTH = 6.75  # inches: both columns
MOST_HEIGHT = 8.0  # inches, with the caption: what fits on a page
DPI = 200  # of a PNG
DASHED = (0, (4, 2))  # a prediction

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
      width: in inches, COLUMN_WIDTH or PAGE_WIDTH.
      height: in inches; a caption adds to it, and `measure` allows MOST_HEIGHT in all.
      subplots: passed on to Matplotlib, e.g. ``sharey=True``.
    Returns: (figure, axes); axes is one Axes, or an array of them.
    Raises ValueError for another width.
    """
    from matplotlib.figure import Figure

    if width not in (COLUMN_WIDTH, PAGE_WIDTH):
        raise ValueError(f"width must be COLUMN_WIDTH ({COLUMN_WIDTH}) or PAGE_WIDTH ({PAGE_WIDTH}); got {width:g}")
    with style():
        made = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        return made, made.subplots(num_rows, num_columns, **cast(dict[str, Any], subplots))
