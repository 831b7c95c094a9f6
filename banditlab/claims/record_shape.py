"""The shape of a record: what is asked of a file's JSON before anything of it is used."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

# What the name of a table's part may be: it becomes part of a file's name.
PART = re.compile(r"[^/\\\0]*")
_DTYPE = re.compile(r"[<>|=][biufUS]\d{1,4}")
# The largest array that a record may say a shard has, in numbers.
_LARGEST = 2**27


def is_record(found: Any) -> bool:
    """Whether JSON data has the shape of a record, as far as anything here reads it."""
    tables = found.get("tables") if _maps(found) else None
    if not (isinstance(tables, dict) and tables and all(map(PART.fullmatch, tables))):
        return False
    samples, cost, shards = found.get("confirmed", []), found.get("cost", {}), found.get("shards")
    return (
        all(map(_is_entry, tables.values()))
        and isinstance(samples, list)
        and all(_maps(sample, "source_hash", "sampled", "of", "commit") for sample in samples)
        and (not cost or (_maps(cost, "wall_seconds") and type(cost["wall_seconds"]) in (int, float)))
        and all(_maps(found.get(name, {})) for name in ("machine", "failures"))
        and (not isinstance(shards, list) or all(map(_is_piece, shards)))  # older records count them
    )


def _is_entry(entry: Any) -> bool:
    """Whether it is what a record says of a table: its checksum, and words on its columns."""
    columns = entry.get("columns", {}) if _maps(entry, "sha256") else None
    return (
        isinstance(columns, dict)
        and all(map(_maps, columns.values()))
        and all(isinstance(word, str) for column in columns.values() for word in column.values())
    )


def _is_piece(piece: Any) -> bool:
    """Whether it is what a record says of a shard."""
    if not _maps(piece, "arm", "seeds", "digest", "arrays") or not _maps(piece["arrays"]):
        return False
    seeds = _are_whole(piece["seeds"]) and len(piece["seeds"]) == 2
    return isinstance(piece["arm"], str) and seeds and all(map(_is_kind, piece["arrays"].values()))


def _is_kind(kind: Any) -> bool:
    """Whether it is the dtype and the shape of an array, one that may have been computed."""
    if not (isinstance(kind, list) and len(kind) == 2 and isinstance(kind[0], str) and _are_whole(kind[1])):
        return False
    try:
        known = _DTYPE.fullmatch(kind[0]) is not None and np.dtype(kind[0]) is not None
    except TypeError:  # 9 bytes a number
        known = False
    return known and math.prod(kind[1]) <= _LARGEST


def _are_whole(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)


def _maps(value: Any, *keys: str) -> bool:
    """Whether ``value`` is a JSON object with these keys."""
    return isinstance(value, dict) and set(keys) <= set(value)
