"""Writing a figure: the same bytes for the same figure."""

import io
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banditlab.plotting.captions import bare, latex
from banditlab.plotting.styles import DPI, style
from banditlab.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# No dates and no program versions: the same figure is the same file.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
KINDS = ("png", "pdf", "tex")


def save(made: "Figure", stem: Path, kinds: Sequence[str] = KINDS, *, with_caption: bool = True) -> list[Path]:
    """Write the figure, each file atomically.

    Args:
      made: as `figure` returned it.
      stem: path of the files without ``.png`` and the like.
      kinds: of "png" (200 dpi, with the caption), "pdf" (embedded TrueType fonts) and "svg", both without it, and
        "tex" (the caption for LaTeX).
      with_caption: whether a PNG has it.
    Returns: the paths, in the order of ``kinds``.
    Raises ValueError for another kind.
    """
    unknown = [kind for kind in kinds if kind not in (*_METADATA, "tex")]
    if unknown:
        raise ValueError(f"kinds must be of {', '.join(_METADATA)} and tex; got {unknown[0]!r}")
    paths = []
    # A PDF without dates makes the font library remark that its timestamp is early, twice a figure.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    with style():
        for kind in kinds:
            buffer = io.BytesIO()
            if kind == "tex":
                buffer.write(latex(made).encode())
            else:
                with nullcontext() if kind == "png" and with_caption else bare(made):
                    made.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
            paths.append(stem.with_name(f"{stem.name}.{kind}"))
            write_atomically(paths[-1], buffer.getvalue())
    return paths
