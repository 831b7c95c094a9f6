"""One look for every figure: data solid with bars or a band, theory dashed, one colour per algorithm.

Matplotlib is imported when the first figure is made, and its object interface is used throughout: no global
figure, no window, no backend to choose. `save` writes the same bytes for the same figure, and `measure` says what
is wrong with one. The conventions are in docs/figures.md.
"""

from banditlab.plotting.captions import BAND, BARS, caption, number, only_if
from banditlab.plotting.legends import legend, proxy
from banditlab.plotting.looks import COLORS, LABELS, MARKERS, shades
from banditlab.plotting.marks import NUM_ERRORS, band, direct_label, mean, theory
from banditlab.plotting.measuring import measure
from banditlab.plotting.saving import save
from banditlab.plotting.styles import COLUMN_WIDTH, PAGE_WIDTH, STYLE, Subplots, figure, style

__all__ = [
    "BAND",
    "BARS",
    "COLORS",
    "COLUMN_WIDTH",
    "LABELS",
    "MARKERS",
    "NUM_ERRORS",
    "PAGE_WIDTH",
    "STYLE",
    "Subplots",
    "band",
    "caption",
    "direct_label",
    "figure",
    "legend",
    "mean",
    "measure",
    "number",
    "only_if",
    "proxy",
    "save",
    "shades",
    "style",
    "theory",
]


def __dir__() -> list[str]:
    return __all__
