r"""Captions: wrapped under the figure for readers, and as LaTeX for papers.

A text is plain words and mathematics between dollar signs, which Matplotlib and LaTeX both set; a formula is never
broken. ``\$`` is a dollar sign.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from banditlab.plotting.styles import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

BARS = "Bars: four standard errors."
BAND = "Bands: 10 to 90% of the runs."
_SIZE, _MARGIN = 6.5, 0.05  # points; inches
_FORMULA = r"\$(?:\\\$|[^$])*\$"
_WORD = re.compile(rf"(?:\\\$|[^\s$]|{_FORMULA})+")
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}",
} | {sign: f"\\{sign}" for sign in "%&#_{}"}  # fmt: skip


def caption(made: "Figure", text: str) -> None:
    """Write ``text`` under the axes, wrapped to the figure's width; the figure grows, nothing is clipped.

    `save` leaves it out of a PDF, where the paper has a caption of its own, and writes it as LaTeX beside it.

    Raises ValueError for a formula that does not end, and for a second caption.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if _find(made) is not None:
        raise ValueError("made must be a figure without a caption; got one that has one")
    words = _words(text)
    with style():
        width = made.get_size_inches()[0]
        look = {"fontsize": _SIZE, "va": "bottom", "linespacing": 1.25, "gid": "caption"}
        written = made.text(_MARGIN / width, 0.0, "", **look)
        renderer = FigureCanvasAgg(made).get_renderer()

        def fits(line: str) -> bool:
            written.set_text(line)
            return written.get_window_extent(renderer).width / made.dpi <= width - 2 * _MARGIN

        lines: list[str] = []
        for word in words:
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and fits(longer):
                lines[-1] = longer
            else:
                lines.append(word)
        written.set_text("\n".join(lines))
        _resize(made, written, 1)


@contextmanager
def bare(made: "Figure") -> Iterator[None]:
    """The figure without its caption inside the block."""
    written = _find(made)
    if written is None:
        yield
        return
    with style():
        _resize(made, written, -1)
        written.set_visible(False)
        try:
            yield
        finally:
            written.set_visible(True)
            _resize(made, written, 1)


def latex(made: "Figure") -> str:
    r"""``\caption{...}`` with the text of the figure's caption; an empty one where it has none."""
    written = _find(made)
    words = [] if written is None else _words(" ".join(written.get_text().split("\n")))
    return f"\\caption{{{' '.join(map(_in_latex, words))}}}\n"


def only_if(count: float, words: str) -> str:
    """Bookkeeping for a caption: ``words`` with ``{}`` replaced by the count, and nothing where that is zero."""
    return words.format(f"{count:g}") if count else ""


def number(value: float) -> str:
    """A number for a caption, a label or a title: 3,200 and 0.05 as they are, 1e14 and a minus as mathematics."""
    if not math.isfinite(value):
        return r"$\infty$" if value > 0 else r"$-\infty$" if value < 0 else "nan"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        plain = f"{abs(value):,.0f}" if float(value).is_integer() else f"{abs(value):.4g}"
        return plain if value >= 0 else f"$-${plain}"
    digits, power = f"{value:.3g}".split("e") if "e" in f"{value:.3g}" else f"{value:.2e}".split("e")
    digits = f"{float(digits):g}"
    factor = {"1": "", "-1": "-"}.get(digits, rf"{digits}\times ")
    return f"${factor}10^{{{int(power)}}}$"


def _words(text: str) -> Sequence[str]:
    """The words of a text; a formula with what touches it is one."""
    if len(re.findall(r"(?<!\\)\$", text)) % 2:
        raise ValueError(f"text must close every formula with a dollar sign; got {text!r}")
    return _WORD.findall(text)


def _in_latex(word: str) -> str:
    """A word for LaTeX: signs with a meaning of their own are escaped, formulas stay."""
    pieces = re.split(rf"((?<!\\){_FORMULA})", word)
    return "".join(piece if place % 2 else _escaped(piece) for place, piece in enumerate(pieces))


def _escaped(plain: str) -> str:
    """Words without a formula; a dollar sign is escaped already."""
    return r"\$".join("".join(_SPECIAL.get(sign, sign) for sign in part) for part in plain.split(r"\$"))


def _find(made: "Figure") -> "Text | None":
    return next((text for text in made.texts if text.get_gid() == "caption"), None)


def _resize(made: "Figure", written: "Text", sign: int) -> None:
    """Make room for the caption under the axes, or take the room away."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width, height = made.get_size_inches()
    extent = written.get_window_extent(FigureCanvasAgg(made).get_renderer())
    below = extent.height / made.dpi + 2 * _MARGIN
    made.set_size_inches(width, height + sign * below)
    share = below / (height + below) if sign > 0 else 0.0
    written.set_y(_MARGIN / (height + below))
    engine = made.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.0, share, 1.0, 1.0 - share))
