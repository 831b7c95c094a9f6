"""Legends: every name once, and entries for what several lines share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from banditlab.plotting.drawn import words_of
from banditlab.plotting.looks import COLORS, MARKERS, require_key
from banditlab.plotting.styles import DASHED, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def legend(
    where: "Figure | Axes",
    *,
    columns: int = 2,
    theory_label: str = "theory",
    extra: "Sequence[Line2D]" = (),
    loc: str = "best",
) -> None:
    """One legend, each label once, and one entry for dashed lines without a label.

    Args:
      where: a figure, for one legend above all its axes; or axes, for one inside them.
      columns: of the legend.
      theory_label: the name of dashed lines that have none of their own.
      extra: further entries, made by `proxy`.
      loc: place inside axes, in Matplotlib's words.
    """
    from matplotlib.figure import Figure

    with style():
        entries: dict[str, Any] = {}
        for ax in where.axes if isinstance(where, Figure) else [where]:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                entries.setdefault(label, handle)
            if any("theory" in words_of(line) and str(line.get_label())[:1] == "_" for line in ax.lines):
                entries.setdefault(theory_label, proxy(theory_label, dashed=True))
        entries |= {str(line.get_label()): line for line in extra}
        place = "outside upper center" if isinstance(where, Figure) else loc
        where.legend(list(entries.values()), list(entries), loc=cast(Any, place), ncols=columns)


def proxy(
    label: str, key: str | None = None, *, marker: str | None = None, filled: bool = True, dashed: bool = False
) -> "Line2D":
    """An entry for `legend` of what many lines share: "open: n = 40" or "dotted: exact".

    Args:
      label: in the legend.
      key: one of COLORS, for its colour and marker; black without one.
      marker: in place of the key's.
      filled: whether the marker is, or open.
      dashed: a dashed line, with no marker unless one is given.
    """
    from matplotlib.lines import Line2D

    if key is not None:
        require_key(key)
    color = "#000000" if key is None else COLORS[key]
    marker = marker or ("" if key is None or dashed else MARKERS[key])
    look: dict[str, Any] = {"linestyle": DASHED, "linewidth": 0.9} if dashed else {"linestyle": ""}
    with style():
        face = {"markerfacecolor": color if filled else "none", "markeredgewidth": 0.0 if filled else 0.8}
        return Line2D([], [], color=color, marker=marker, label=label, **look, **face)
