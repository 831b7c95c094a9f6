"""Reading JSON and tables that anyone may have made or damaged: whatever is wrong is a ValueError that says what."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from banditlab.store.files import read_bytes, sha256_of_bytes
from banditlab.store.tables import Table

_LARGEST_JSON = 2**26
# The records of this package nest six deep; what nests deeper than this is no work of it.
_DEEPEST = 64


def read_json(path: Path) -> Any:
    """The JSON data in a regular file of at most 64 MiB.

    Raises:
      OSError: when there is none that can be read.
      ValueError: when it is something else, with what it is.
    """
    return json_of_bytes(read_bytes(path, _LARGEST_JSON))


def json_of_bytes(content: bytes) -> Any:
    """The JSON data in UTF-8; ValueError for bytes that are none, or that nest more than 64 deep."""
    if not content.strip():
        raise ValueError("is empty")
    try:
        found = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError("is not in UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"nests more than {_DEEPEST} deep") from error
    except ValueError as error:
        raise ValueError("is no JSON") from error
    level = [found]
    for _ in range(_DEEPEST):
        level = [part for item in level if isinstance(item, (dict, list)) for part in _parts(item)]
    if level:
        raise ValueError(f"nests more than {_DEEPEST} deep")
    return found


def _parts(item: dict[str, Any] | list[Any]) -> Any:
    return item.values() if isinstance(item, dict) else item


def read_table(path: Path, sha256: str | None = None) -> Table:
    """The table that `Table.write` wrote to ``path``, where ``sha256`` is given only if that is its checksum.

    Raises:
      OSError: when there is none that can be read.
      ValueError: when it is something else, with what it is.
    """
    content = read_bytes(path)
    if not content:
        raise ValueError("is empty")
    if sha256 is not None and sha256 != sha256_of_bytes(content):
        raise ValueError("is not the table of its record (checksum)")
    try:
        return Table.read(path)
    except UnicodeDecodeError as error:
        raise ValueError("is not in UTF-8") from error
    except (csv.Error, OverflowError) as error:
        raise ValueError(f"is no table: {error}") from error
