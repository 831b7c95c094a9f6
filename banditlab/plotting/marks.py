"""What is drawn into axes: measured means and quantiles, single points, predictions."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from banditlab.plotting.colours import TEXT_CONTRAST, channels, darkened, hexadecimal
from banditlab.plotting.looks import COLORS, LABELS, MARKERS, require_key
from banditlab.plotting.styles import DASHED, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation

NUM_ERRORS = 4  # standard errors that a bar has on either side, in every figure


def mean(
    ax: "Axes",
    x: np.ndarray,
    mean: np.ndarray,
    error: np.ndarray,
    key: str,
    *,
    quantiles: np.ndarray | None = None,
    label: str | None = None,
    color: str | None = None,
) -> "Line2D":
    """Data: means as a solid line with markers and bars of four standard errors; what a predicted mean is held to.

    Args:
      x, mean, error: (K,); the error is one standard error of the mean. Infinite values are left out of the drawing.
      key: the algorithm, one of COLORS.
      quantiles: (3, K) lower, middle and upper, as `band` takes them; the outer two are drawn as a band.
      label: in the legend, LABELS[key] unless given; "" for none.
      color: COLORS[key] unless given, e.g. one of `shades`.
    Returns: the line.
    """
    require_key(key)
    x, mean, error = (np.asarray(values, float) for values in (x, mean, error))
    if x.ndim != 1 or not x.shape == mean.shape == error.shape:
        raise ValueError(f"mean and error must be (K,) for x (K,); got {mean.shape} and {error.shape} for {x.shape}")
    color, name = color or COLORS[key], LABELS[key] if label is None else label
    if quantiles is not None:
        _fill(ax, x, np.asarray(quantiles, float), color)
    shown = np.where(np.isfinite(mean), mean, np.nan)
    bars = NUM_ERRORS * np.where(np.isfinite(error), error, 0.0)
    with style():
        look: dict[str, Any] = {"color": color, "marker": MARKERS[key], "elinewidth": 0.8, "label": name or None}
        return ax.errorbar(x, shown, bars, **look).lines[0]


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

    A prediction of a mean belongs beside `mean`, not beside a median.

    Args:
      x: (K,).
      quantiles: (3, K), lower, middle and upper; infinite values are left out of the drawing.
      key: the algorithm, one of COLORS.
      label: in the legend, LABELS[key] unless given; "" for none.
      color: COLORS[key] unless given, e.g. one of `shades`.
    """
    require_key(key)
    x, quantiles = np.asarray(x, float), np.asarray(quantiles, float)
    color, name = color or COLORS[key], LABELS[key] if label is None else label
    middle = _fill(ax, x, quantiles, color)
    with style():
        ax.plot(x, middle, color=color, marker=MARKERS[key], label=name or None)


def theory(
    ax: "Axes", x: np.ndarray, y: np.ndarray, key: str | None = None, *, label: str = "", color: str | None = None
) -> "Line2D":
    """A prediction: dashed, in a darker shade of the algorithm's colour, or black for one that is of none.

    It lies over the data, and the shade keeps it visible where the two agree.

    Args:
      x, y: (K,); infinite values are left out of the drawing.
      label: in the legend; without one, `legend` explains all dashed lines together.
      color: of the data that it predicts where that is not COLORS[key], e.g. one of `shades`.
    Returns: the line.
    """
    if key is not None:
        require_key(key)
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"y must be (K,) for x (K,); got {y.shape} for {x.shape}")
    own = color or ("#000000" if key is None else COLORS[key])
    look: dict[str, Any] = {
        "color": hexadecimal(0.4 * channels(own)),
        "linestyle": DASHED,
        "linewidth": 0.9,
        "label": label or None,
    }
    with style():
        return ax.plot(x, np.where(np.isfinite(y), y, np.nan), zorder=3, gid="theory", **look)[0]


def direct_label(line: "Line2D", text: str, *, place: int = -1, offset: tuple[float, float] = (4, 0)) -> "Annotation":
    """Name a line where it runs, so that it needs no entry in a legend.

    Args:
      line: as `mean`, `theory` and Matplotlib's `plot` return it.
      text: its name, written in its colour (darkened until it can be read).
      place: index of the point beside which it stands.
      offset: from that point, in points; the text ends there where the first number is negative.
    """
    from matplotlib.colors import to_hex

    x, y = (np.asarray(values, float)[place] for values in line.get_data())
    line.set_gid(f"{line.get_gid() or ''} labelled".strip())
    side: dict[str, Any] = {"ha": "right" if offset[0] < 0 else "left", "va": "center"}
    color = darkened(to_hex(line.get_color()), TEXT_CONTRAST)
    if line.axes is None:
        raise ValueError("line must lie in axes; got one that is drawn nowhere")
    # An axhline's x are shares of the axes.
    own = line.get_transform()
    coordinates = "data" if own == line.axes.transData else own
    look = {"textcoords": "offset points", "fontsize": 7, "color": color, **side}
    with style():
        axes = cast("Axes", line.axes)
        return axes.annotate(text, (x, y), xytext=offset, xycoords=coordinates, **look)


def _fill(ax: "Axes", x: np.ndarray, quantiles: np.ndarray, color: str) -> np.ndarray:
    """The band between the outer quantiles; the middle one, nan where it is infinite."""
    if quantiles.shape != (3, *x.shape) or x.ndim != 1:
        raise ValueError(f"quantiles must be (3, K) for x (K,); got {quantiles.shape} for {x.shape}")
    low, middle, high = np.where(np.isfinite(quantiles), quantiles, np.nan)
    with style():
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    return middle
