"""Reading a user's CSV row by row; what cannot be read as one is named for what it is, or for what it holds."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from banditlab.errors import CommandLineError
from banditlab.store.files import read_bytes

# How files begin that people take for a CSV.
_KINDS = {
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PK\x03\x04": "a zip archive, as .xlsx and .npz files are",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls)",
    b"PAR1": "in Parquet",
    b"\x93NUMPY": "a single array of NumPy (.npy)",
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
    b"{": "in JSON",
    b"[": "in JSON",
    b"<": "in HTML or XML",
}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_LONGEST_HEADER = 200
# A row is one comparison that `chosen` won. What is called by one of these words says something else of it.
_TELLING = re.compile(
    "counts?|weights?|votes?|wins?|winner|loss(es)?|ties?|tied|draws?|outcomes?|results?|labels?|preferences?|preferred"
    "|choice|freq|frequency|frequencies|multiplicity|repeats|repetitions|reps|occurrences|copies|probs?|probability"
    "|amounts?|equal|annotations?|annotators?|support|strength|margin|scores?|targets?"
)
_TELLING_ALONE = ("n", "nb", "wt", "y", "num", "number", "total", "times")


def rows(
    argument: str, path: Path, required: Sequence[str], *, nameless: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and stripped cells by column name of every row that is not blank.

    Args:
      required: columns that must be there.
      nameless: whether columns without a name may be there, such as the index of a data frame; nothing reads them.

    Raises CommandLineError, in one line, for a file that is no such CSV.
    """
    lines = csv.reader(io.StringIO(_text(argument, path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(argument, path, header, required, nameless)
        empty = True
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise CommandLineError(
                    f"{argument} line {lines.line_num}: got {len(cells)} cells for {len(header)} columns"
                )
            empty = False
            yield lines.line_num, dict(zip(header, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise CommandLineError(f"{argument} line {lines.line_num}: {error}; a CSV is wanted, got '{path}'") from error
    if empty:
        raise CommandLineError(f"{argument} must have at least one row under its header; '{path}' has none")


def require_plain(argument: str, path: Path) -> None:
    """CommandLineError for a file that is no text, or text of another kind than a CSV."""
    _text(argument, path)


def refuse_telling(argument: str, what: str, names: Sequence[str]) -> None:
    """CommandLineError for a column or array whose name says that a row is not simply one comparison.

    Nothing reads it, and to leave it aside would be to misread the rows: as many rows as a `count` says are one.
    """
    for name in names:
        words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
        if any(map(_TELLING.fullmatch, words)) or (len(words) == 1 and words[0] in _TELLING_ALONE):
            rule = "each row is one comparison that chosen won, and nothing else is read"
            raise CommandLineError(
                f"{argument} must not have the {what} {name!r}: {rule}; write the data so, without it"
            )


def refuse_near(argument: str, what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """CommandLineError for a name that is one of those known but for capitals, signs or an s at its end."""
    wanted = {_bare(name): name for name in known}
    for name in names:
        if name not in known and (near := wanted.get(_bare(name))):
            raise CommandLineError(
                f"{argument} has the {what} {name!r}; it is called {near!r}, and is read as that only"
            )


def _bare(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower()).removesuffix("s")


def _text(argument: str, path: Path) -> str:
    try:
        content = read_bytes(path)
    except (OSError, ValueError) as error:
        what = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        raise CommandLineError(f"{argument} must be a CSV in UTF-8; '{path}' {what}") from error
    start = content.lstrip()
    kinds = [kind for sign, kind in _KINDS.items() if start.startswith(sign)]
    kinds += ["binary, or in UTF-16"] if b"\0" in content else []
    if not start or kinds:
        raise CommandLineError(f"{argument} must be a CSV in UTF-8; '{path}' is {kinds[0] if kinds else 'empty'}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = f"has byte {content[error.start]:#x} in line {line}"
        raise CommandLineError(f"{argument} must be a CSV in UTF-8; '{path}' {where}") from error


def _check_header(argument: str, path: Path, header: list[str], required: Sequence[str], nameless: bool) -> None:
    shown = ", ".join(header)[:_LONGEST_HEADER]
    if any(name not in header for name in required):
        hint = ""
        if len(header) == 1:
            marks = [word for mark, word in _SEPARATORS.items() if mark in header[0]]
            hint = f", cells separated by {marks[0]}; commas are wanted" if marks else ""
        elif {name.lower() for name in header} >= set(required):
            hint = "; names are wanted in small letters"
        wanted = ", ".join(required)
        raise CommandLineError(f"{argument} must have the columns {wanted}; the header of '{path}' is {shown}{hint}")
    named = [name for name in header if name or not nameless]
    if len(set(named)) < len(named) or "" in named:  # pandas leaves its index without a name
        raise CommandLineError(f"{argument} must name its columns, each differently; got {shown}")
