"""Tables: equal-length named columns, saved as CSV that reads back to the very same numbers."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from banditlab.store.files import write_atomically

_INTEGER = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Table:
    """Equal-length columns of strings, int64 or float64; inf is a value, nan is refused.

    Args:
      columns: name -> 1-d values, or one value to repeat along the whole column.
    Raises ValueError for no rows, unequal lengths, nan, other types, or a text column that reads as numbers.
    """

    columns: Mapping[str, np.ndarray]

    if TYPE_CHECKING:

        def __init__(self, columns: Mapping[str, ArrayLike]) -> None: ...

    def __post_init__(self) -> None:
        arrays = {name: np.asarray(values) for name, values in self.columns.items()}
        lengths = {name: array.shape[0] for name, array in arrays.items() if array.ndim}
        length = next(iter(lengths.values()), 1)
        if not arrays or length == 0 or any(array.ndim > 1 for array in arrays.values()):
            shapes = {name: array.shape for name, array in arrays.items()}
            raise ValueError(f"columns must be one-dimensional with at least one row; got shapes {shapes}")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must have equal lengths; got {lengths}")
        typed = {name: _typed(name, np.broadcast_to(array, (length,))) for name, array in arrays.items()}
        object.__setattr__(self, "columns", typed)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        """The column ``name``; ValueError names the columns there are."""
        if name not in self.columns:
            raise ValueError(f"column must be one of {', '.join(self.columns)}; got {name!r}")
        return self.columns[name]

    def where(self, **equal: str | int | float) -> "Table":
        """The rows in which every named column equals the given value; ValueError when there are none."""
        kept = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            kept &= self[name] == value
        if not kept.any():
            values = {name: np.unique(self[name]).tolist()[:8] for name in equal}
            raise ValueError(f"where must match at least one row among {values}; got {equal}")
        return self.kept(kept)

    def kept(self, rows: np.ndarray) -> "Table":
        """The rows that a mask, or a list of their numbers, names; ValueError when there are none."""
        chosen = {name: values[rows] for name, values in self.columns.items()}
        return Table(chosen)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, str | int | float]]) -> "Table":
        """One row per mapping, all with the same names in the first one's order."""
        listed = list(rows)
        names = list(listed[0]) if listed else []
        for row in listed:
            if set(row) != set(names):
                raise ValueError(f"rows must all have the columns {names}; got {list(row)}")
        return cls({name: np.asarray([row[name] for row in listed]) for name in names})

    @classmethod
    def stack(cls, tables: Iterable["Table"]) -> "Table":
        """The rows of all tables, one under the other; they must share their columns."""
        listed = list(tables)
        names = list(listed[0].columns) if listed else []
        for table in listed:
            if set(table.columns) != set(names):
                raise ValueError(f"tables must all have the columns {names}; got {list(table.columns)}")
        return cls({name: np.concatenate([table[name] for table in listed]) for name in names})

    def to_csv(self) -> bytes:
        """The table as UTF-8 CSV; floats as their shortest exact representation, infinity as ``inf``."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*(map(_cell, values.tolist()) for values in self.columns.values()), strict=True))
        return buffer.getvalue().encode()

    def write(self, path: Path) -> None:
        """Write the CSV atomically."""
        write_atomically(path, self.to_csv())

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read a CSV that `write` made; a column is integer, float or text by all of its cells.

        Raises ValueError when the file is not a rectangular table or holds nan.
        """
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file) or [[]]
        if any(len(row) != len(header) for row in rows) or len(set(header)) != len(header):
            raise ValueError(f"{path} must be a rectangular CSV with distinct column names; it is not")
        return cls({name: _parse([row[place] for row in rows]) for place, name in enumerate(header)})


def _cell(value: str | int | float) -> str:
    return value if isinstance(value, str) else repr(value)


def _parse(cells: list[str]) -> np.ndarray:
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        return np.asarray([int(cell) for cell in cells], dtype=np.int64)
    return np.asarray([float(cell) for cell in cells] if _reads_as_numbers(cells) else cells)


def _reads_as_numbers(cells: Iterable[str]) -> bool:
    try:
        return all(float(cell) is not None for cell in cells)
    except ValueError:
        return False


def _typed(name: str, values: np.ndarray) -> np.ndarray:
    """``values`` as int64, float64 or str, such that writing and reading the column changes nothing."""
    if values.dtype.kind == "U":
        if _reads_as_numbers(values.tolist()):
            raise ValueError(f"column {name} must not be text that reads as numbers; got {values[0]!r}")
        return np.array(values)
    if values.dtype.kind in "biu":
        if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
            raise ValueError(f"column {name} must hold integers below 2^63; got {values.max()}")
        return values.astype(np.int64)
    if values.dtype.kind != "f":
        raise ValueError(f"column {name} must hold strings, integers or floats; got {values.dtype}")
    if np.isnan(values).any():
        raise ValueError(f"column {name} must hold no nan; got one in row {int(np.argmax(np.isnan(values)))}")
    return values.astype(np.float64)
