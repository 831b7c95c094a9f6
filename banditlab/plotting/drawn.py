"""What a figure shows, read back from it: its texts, and the lines and points of its axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from banditlab.plotting.colours import channels, hexadecimal

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

_NOTHING = (None, "None", "none", " ", "")
_DASHES = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dash-dotted"}


@dataclass(frozen=True)
class Mark:
    """The look of a line, of points, or of a line with points.

    Attributes:
      color: as it is on white, "#rrggbb"; None where every point has its own, as beside a colour bar.
      marker: its name, "" for none. filled: whether it is.
      dash: "solid", "dashed", "dotted", "dash-dotted", or "" where there is no line.
      label: of the legend, "" for none.
      words: of the artist's gid: "decoration", "theory", "labelled".
    """

    color: str | None
    marker: str
    filled: bool
    dash: str
    label: str
    words: frozenset[str]

    @property
    def look(self) -> tuple[str, bool, str]:
        """What is left of the look in grey."""
        return self.marker, self.filled, self.dash

    @property
    def in_words(self) -> str:
        """The look for a sentence."""
        kind = f"{'' if self.filled else 'open '}marker '{self.marker}'" if self.marker else ""
        return ", ".join(part for part in (self.color or "", f"{self.dash} line" if self.dash else "", kind) if part)


def marks(artist: "Axes | Artist") -> list[Mark]:
    """The looks of the visible lines and points in axes or in a legend; error bars, bands and grids are none."""
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    found = []
    for one in _visible(artist):
        if isinstance(one, Line2D):
            found.append(_of_line(one))
        elif isinstance(one, PathCollection):
            found.append(_of_points(one))
    return [mark for mark in found if mark is not None and (mark.marker or mark.dash)]


def texts(made: "Figure") -> "list[Text]":
    """The texts that are drawn and not empty; of tick labels those inside their axes' range."""
    from matplotlib.text import Text

    return [one for one in _visible(made) if isinstance(one, Text) and one.get_text().strip()]


def words_of(artist: "Artist") -> frozenset[str]:
    """The words of an artist's gid."""
    return frozenset(str(artist.get_gid() or "").split())


def _visible(artist: "Artist") -> "Iterator[Artist]":
    """The visible artists inside one; of an axis its label and those of ticks in view."""
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    if not artist.get_visible():
        return
    yield artist
    if isinstance(artist, Axis):
        yield from (one for one in (artist.label, artist.offsetText) if one.get_visible())
        yield from _tick_labels(artist)
        return
    if isinstance(artist, Text):
        return  # an arrow of an annotation is no line of the data
    for child in artist.get_children():
        if isinstance(child, Axis) and isinstance(artist, Axes) and not artist.axison:
            continue
        yield from _visible(child)


def _tick_labels(axis) -> "Iterator[Text]":
    low, high = sorted(axis.get_transform().transform(axis.get_view_interval()))
    slack = 1e-9 * (high - low)
    for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
        place = axis.get_transform().transform([tick.get_loc()])[0]
        if tick.get_visible() and low - slack <= place <= high + slack:
            yield from (one for one in (tick.label1, tick.label2) if one.get_visible())


def _of_line(line: "Line2D") -> Mark | None:
    # A legend's own lines are no data, but always drawn.
    points = np.column_stack([np.ma.filled(np.ma.asarray(values, float), np.nan) for values in line.get_data()])
    if not np.isfinite(points).all(axis=1).any():
        return None
    marker = "" if line.get_marker() in _NOTHING else str(line.get_marker())
    dash = "" if line.get_linestyle() in _NOTHING or len(points) < 2 else _DASHES.get(str(line.get_linestyle()), "")
    face = line.get_markerfacecolor() if marker and not dash else line.get_color()
    filled = not marker or not _open(line.get_markerfacecolor())
    if marker and not dash and not filled:
        face = line.get_markeredgecolor()
    label = str(line.get_label())
    return Mark(
        on_white(face, line.get_alpha()), marker, filled, dash, "" if label[:1] == "_" else label, words_of(line)
    )


def _of_points(points: "PathCollection") -> Mark | None:
    faces, edges = points.get_facecolor(), points.get_edgecolor()
    filled = bool(len(faces)) and not _open(faces[0])
    colors = faces if filled else edges
    # Colours of a scale carry a quantity, which the colour bar explains.
    own = points.get_array() is not None or len(np.unique(colors, axis=0)) > 1
    label = str(points.get_label())
    return Mark(
        None if own or not len(colors) else on_white(colors[0], None),
        _marker_name(points),
        filled,
        "",
        "" if label[:1] == "_" else label,
        words_of(points),
    )


def _marker_name(points: "PathCollection") -> str:
    """The marker of a scatter plot, found by its outline among Matplotlib's."""
    from matplotlib.markers import MarkerStyle

    (path, *_) = points.get_paths()
    for name in "os^v<>DdpPhHX*8x+|_.":
        style = MarkerStyle(name)
        outline = np.asarray(style.get_path().transformed(style.get_transform()).vertices)
        found = np.asarray(path.vertices)
        if outline.shape == found.shape and np.allclose(outline, found):
            return name
    return "?"


def _open(face) -> bool:
    """Whether a marker of this face colour is open: nothing, transparent or white."""
    from matplotlib.colors import to_rgba

    if isinstance(face, str) and face in _NOTHING:
        return True
    red, green, blue, alpha = to_rgba(face)
    return alpha == 0 or min(red, green, blue) == 1


def on_white(color, alpha: float | None) -> str:
    from matplotlib.colors import to_hex, to_rgba

    opaque = to_rgba(color, alpha)
    mixed = channels(to_hex(opaque)) * opaque[3] + 1 - opaque[3]
    return hexadecimal(mixed)
