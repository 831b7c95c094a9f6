"""What is wrong with a figure, measured on the drawing itself.

Sizes, texts, legends, contrast and colours: `docs/figures.md` says what is asked for and why. A gid of "decoration"
takes a line, points or a text out of the rules; its author says why beside it.
"""

import itertools
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from banditlab.plotting.colours import LEAST_DISTANCE, MARK_CONTRAST, TEXT_CONTRAST, contrast, distance
from banditlab.plotting.drawn import Mark, marks, on_white, texts, words_of
from banditlab.plotting.styles import COLUMN_WIDTH, DPI, MOST_HEIGHT, PAGE_WIDTH, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

# Points by which the boxes of two texts may overlap: a box has room for the tallest letters and, below the line,
# for those that go deepest, a quarter of the size, whether the text has any or not. A quarter of 7 points is 1.75.
_ROOM = 1.75
_FORMULA = re.compile(r"(?<!\\)\$.*?(?<!\\)\$", re.DOTALL)
# A single letter that is compared, or counts something ("a" is an article); a number below zero.
_SYMBOL = re.compile(
    r"(?<![\w'\\])[A-Za-z](?= ?[=<>≤≥] ?[-\d.])"
    r"|(?<![\w'\\(])[B-Zb-z](?= (?:pairs|labels|rounds|steps|draws|samples|responses|queries|actions|seeds)\b)"
    r"|(?<![\w§)-])-[\d.]+"
)


def measure(made: "Figure") -> list[str]:
    """One sentence for every fault of the figure, with its caption; empty when there is none.

    - It is COLUMN_WIDTH or PAGE_WIDTH wide and at most MOST_HEIGHT high (inches).
    - Every text lies inside the canvas, and no two overlap.
    - Every marker, filled or open, every kind of line and every colour of axes with several is in a legend or named
      by `direct_label`; so is what a dashed line means beside data.
    - Texts have a contrast of 4.5 on white, lines and markers of 3. Texts on images are not measured.
    - Lines of one axes that share marker and dash have colours that eyes of every kind tell apart.
    - Symbols and numbers below zero are set as mathematics: $n$ = 40, not n = 40.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    dpi = made.dpi
    with style(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        canvas = FigureCanvasAgg(made)
        made.set_dpi(DPI)
        try:
            canvas.draw()
            renderer = canvas.get_renderer()
            found = [(text, text.get_window_extent(renderer)) for text in texts(made)]
            faults = _sizes(made) + _places(made, found)
        finally:
            made.set_dpi(dpi)
    faults += [f"Matplotlib warns: {one.message}" for one in warned]
    explained = [mark for legend in _legends(made) for mark in marks(legend)]
    panels = [ax for ax in made.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
    for place, ax in enumerate(panels, 1):
        where = f"panel {place}" if len(panels) > 1 else "the panel"
        own = [mark for mark in _marks_of(ax) if "decoration" not in mark.words]
        faults += [f"{where}: {fault}" for fault in (*_unexplained(own, explained), *_pale(own), *_alike(own))]
    faults += [
        f"the text {_quoted(text)} has a contrast of {contrast(_hex(text)):.1f} on white, below {TEXT_CONTRAST}"
        for text, _ in found
        if contrast(_hex(text)) < TEXT_CONTRAST and not _on_image(text) and "decoration" not in words_of(text)
    ]
    faults += [
        f"the text {_quoted(text)} must set {symbol.group()!r} as mathematics"
        for text, _ in found
        if (symbol := _SYMBOL.search(_FORMULA.sub("§", text.get_text()))) is not None
    ]
    return list(dict.fromkeys(faults))


def _sizes(made: "Figure") -> list[str]:
    width, height = made.get_size_inches()
    faults = []
    if not any(np.isclose(width, allowed) for allowed in (COLUMN_WIDTH, PAGE_WIDTH)):
        faults.append(f"the width must be {COLUMN_WIDTH} or {PAGE_WIDTH} in; got {width:.2f}")
    if height > MOST_HEIGHT:
        faults.append(f"the height must be at most {MOST_HEIGHT:g} in with the caption; got {height:.2f}")
    return faults


def _places(made: "Figure", found: "list[tuple[Text, Bbox]]") -> list[str]:
    """Texts beyond the canvas, and pairs that overlap."""
    canvas, room = made.bbox, _ROOM * made.dpi / 72
    faults = [
        f"the text {_quoted(text)} leaves the canvas"
        for text, box in found
        if box.x0 < canvas.x0 or box.y0 < canvas.y0 or box.x1 > canvas.x1 or box.y1 > canvas.y1
    ]
    for (one, first), (other, second) in itertools.combinations(found, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        along = min(first.y1, second.y1) - max(first.y0, second.y0)
        if min(across, along) > room:
            faults.append(f"the texts {_quoted(one)} and {_quoted(other)} overlap")
    return faults


def _legends(made: "Figure") -> list:
    inside = [ax.get_legend() for ax in made.axes]
    return [legend for legend in (*made.legends, *inside) if legend is not None and legend.get_visible()]


def _marks_of(ax: "Axes") -> list[Mark]:
    return [mark for artist in (*ax.lines, *ax.collections) for mark in marks(artist)]


def _unexplained(own: list[Mark], explained: list[Mark]) -> list[str]:
    """Looks that no legend shows. What is the only data in its axes needs none: the axes' labels say what it is."""
    data = [mark for mark in own if "theory" not in mark.words]
    several = len({(mark.color, *mark.look) for mark in data}) > 1
    markers = {(mark.marker, mark.filled) for mark in explained}
    dashes, colors = {mark.dash for mark in explained}, {mark.color for mark in explained}
    # A black marker alone says for all markers of the legend what open, or filled, means.
    fillings = {mark.filled for mark in explained if mark.marker and not mark.dash and mark.color == "#000000"}
    markers |= set(itertools.product({mark.marker for mark in explained}, fillings))
    faults = []
    for mark in own:
        theory = "theory" in mark.words
        if "labelled" in mark.words or not (data if theory else several):
            continue
        missing = [
            *([f"{'' if mark.filled else 'open '}marker '{mark.marker}'"] if mark.marker and (
                mark.marker, mark.filled) not in markers else []),
            *([f"{mark.dash} line"] if mark.dash and mark.dash not in dashes else []),
            *([f"colour {mark.color}"] if mark.color and not theory and mark.color not in colors else []),
        ]  # fmt: skip
        faults += [f"the {one} is in no legend and has no label" for one in missing]
    return faults


def _pale(own: list[Mark]) -> list[str]:
    return [
        f"{mark.in_words} has a contrast of {contrast(mark.color):.1f} on white, below {MARK_CONTRAST:g}"
        for mark in own
        if mark.color and contrast(mark.color) < MARK_CONTRAST
    ]


def _alike(own: list[Mark]) -> list[str]:
    """Pairs that share marker and dash and have colours too near each other, or the same and two names.

    A prediction is told by the data that it lies on, and a line that is named where it runs by its name.
    """
    compared = [mark for mark in own if mark.color and not mark.words & {"theory", "labelled"}]
    faults = []
    for one, other in itertools.combinations(dict.fromkeys(compared), 2):
        if one.look != other.look or one.color is None or other.color is None:
            continue
        if one.color == other.color:
            if one.label and other.label and one.label != other.label:
                faults.append(f"{one.label!r} and {other.label!r} look the same")
            continue
        apart, eyes = distance(one.color, other.color)
        if apart < LEAST_DISTANCE:
            names = " and ".join(mark.label or mark.in_words for mark in (one, other))
            faults.append(f"{names} differ by {apart:.1f} under {eyes}, below {LEAST_DISTANCE}")
    return faults


def _hex(text: "Text") -> str:
    return on_white(text.get_color(), text.get_alpha())


def _on_image(text: "Text") -> bool:
    from matplotlib.collections import QuadMesh

    ax = text.axes
    return ax is not None and bool(ax.images or any(isinstance(one, QuadMesh) for one in ax.collections))


def _quoted(text: "Text") -> str:
    words = " ".join(text.get_text().split())
    return repr(words if len(words) <= 40 else f"{words[:37]}...")
