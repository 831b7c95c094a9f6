"""The files of one result: its tables, the record that holds their checksums, and what was drawn from them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from banditlab.claims.experiment import Tables, as_returned, by_part
from banditlab.store import Table, sha256_of_bytes, write_atomically
from banditlab.store.provenance import Jsonable

DRAWN = (".png", ".pdf", ".tex")
_NUMBERS = re.compile(r"\[((?:\s*-?\d+,?)+)\s*\]")


@dataclass(frozen=True)
class Result:
    """NAME.csv, or NAME.PART.csv for every part; NAME.json, their record; NAME.png, .pdf and .tex."""

    folder: Path
    name: str

    def file(self, suffix: str) -> Path:
        """The file with this suffix, e.g. ".json"; it need not exist."""
        return self.folder / f"{self.name}{suffix}"

    def csv(self, part: str) -> Path:
        """The table of a part; of the only one where ``part`` is empty."""
        return self.file(f".{part}.csv" if part else ".csv")

    def exists(self) -> bool:
        """Whether the record is there."""
        return self.file(".json").is_file()

    def record(self) -> dict[str, Any]:
        """The provenance record; ValueError when the file does not hold one."""
        record = json.loads(self.file(".json").read_bytes())
        if not _is_record(record):
            raise ValueError(f"{self.file('.json')} must be a record with its tables")
        return record

    def tables(self) -> Tables:
        """The saved tables, as `run` returned them."""
        return as_returned({part: Table.read(self.csv(part)) for part in self.record()["tables"]})

    def contents(self) -> dict[str, bytes]:
        """Part -> bytes of its CSV."""
        return {part: self.csv(part).read_bytes() for part in self.record()["tables"]}

    def write(self, tables: Tables, record: Mapping[str, Any]) -> None:
        """Write tables and, last, the record with their checksums: tables of a run that was cut short are seen."""
        parts = by_part(tables)
        for part, table in parts.items():
            table.write(self.csv(part))
        write_atomically(self.file(".json"), as_json(record))
        self.remove_parts_but(parts)

    def remove_parts_but(self, parts: Mapping[str, object]) -> None:
        """Delete tables of parts that there are no more."""
        for path in (self.csv(""), *self.folder.glob(f"{self.name}.*.csv")):
            if path not in {self.csv(part) for part in parts}:
                path.unlink(missing_ok=True)

    def damage(self) -> str | None:
        """Why the files cannot be read as a result at all, or None when they can."""
        if not self.exists():
            return "missing"
        try:
            record = self.record()
        except ValueError:
            return "without a readable record"
        for part, entry in record["tables"].items():
            path = self.csv(part)
            if not path.is_file():
                return f"missing: {path.name}"
            if entry.get("sha256") != sha256_of_bytes(path.read_bytes()):
                return f"altered: {path.name} is not the table of its record (checksum)"
        return None

    def outdated(self, source_hash: str, config_hash: str) -> str | None:
        """Why the stamp of an undamaged result is not that of the present sources, or None when it is."""
        record = self.record()
        # A confirmation is of the record's own configuration, unless it says of which.
        stamps = [record, *({"config_hash": record.get("config_hash")} | one for one in confirmations(record))]
        of_sources = [stamp for stamp in stamps if stamp.get("source_hash") == source_hash]
        if any(stamp.get("config_hash") == config_hash for stamp in of_sources):
            return None
        if of_sources:
            return "stale: its configuration has changed"
        if ":" not in str(record.get("source_hash")):
            return "stale: its sources have changed since they were hashed by module"
        return "stale: its sources have changed"

    def problem(self, source_hash: str, config_hash: str) -> str | None:
        """Why the files cannot stand for the present sources, or None when they can."""
        return self.damage() or self.outdated(source_hash, config_hash)


def _is_record(found: Any) -> bool:
    """Whether JSON data has the shape of a record, as far as anything here reads it."""
    tables = found.get("tables") if _maps(found) else None
    if not (isinstance(tables, dict) and tables):
        return False
    parts, samples, cost = tables.values(), found.get("confirmed", []), found.get("cost", {})
    columns: list[Any] = [part.get("columns", {}) if _maps(part) else None for part in parts]
    return (
        all(_maps(entries) and all(map(_maps, entries.values())) for entries in columns)
        and isinstance(samples, list)
        and all(_maps(sample, "source_hash", "sampled", "of", "commit") for sample in samples)
        and (not cost or _maps(cost, "wall_seconds"))
        and all(_maps(found.get(name, {})) for name in ("machine", "failures"))
    )


def _maps(value: Any, *keys: str) -> bool:
    """Whether ``value`` is a JSON object with these keys."""
    return isinstance(value, dict) and set(keys) <= set(value)


def table_entries(tables: Tables, dictionary: Mapping[str, Mapping[str, Jsonable]]) -> dict[str, Jsonable]:
    """Part -> checksum, number of rows and data dictionary, for a record."""
    return {
        part: {"sha256": sha256_of_bytes(table.to_csv()), "rows": len(table), "columns": dictionary[part]}
        for part, table in by_part(tables).items()
    }


def elsewhere(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results come from processors or releases that round differently, so that long iterations part."""
    cpus = [record.get("machine", {}).get("cpu") for record in (one, other)]
    return one.get("circumstances") != other.get("circumstances") or cpus[0] != cpus[1]


def confirmations(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `confirm` added to a record: sources of which a sample of shards came out the same."""
    return list(record.get("confirmed", []))


def as_json(record: Mapping[str, Any]) -> bytes:
    """A record as it is written; lists of numbers take one line each."""
    text = json.dumps(record, indent=1, allow_nan=False)
    return (_NUMBERS.sub(lambda found: f"[{', '.join(map(str.strip, found[1].split(',')))}]", text) + "\n").encode()


def is_float64(record: Mapping[str, Any]) -> bool:
    """Whether the numbers of a record were computed in double precision; others are never compared."""
    return record.get("dtype") == "float64"
