"""Reading npz files that anyone may have made: whatever is wrong with one is a ValueError that says what."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

# What NumPy and the standard library raise for bytes that are no archive of plain arrays.
_TROUBLE = (
    ValueError,
    KeyError,
    AttributeError,
    EOFError,
    RuntimeError,  # and what is not implemented: a kind of compression
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)
_LARGEST = 2**34


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the npz file at ``path``, a regular file of at most 16 GiB.

    Raises:
      OSError: when there is none that can be read.
      ValueError: when it is something else, with what it is.
    """
    if path.exists() and not path.is_file():
        raise ValueError("is no regular file")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"is larger than {_LARGEST >> 30} GiB")
    return of_bytes(path.read_bytes())


def of_bytes(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz; ValueError for bytes that are none, as in `read`."""
    if not content:
        raise ValueError("is empty")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            if sum(member.file_size for member in members.infolist()) > _LARGEST:
                raise ValueError
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except _TROUBLE as error:
        raise ValueError("is not an npz of plain arrays") from error
