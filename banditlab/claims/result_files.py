"""The files of one result: its tables, the record that holds their checksums, and what was drawn from them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from banditlab.claims.experiment import Tables, as_returned, by_part
from banditlab.claims.record_shape import is_record
from banditlab.store import sha256_of_bytes, write_atomically
from banditlab.store.documents import read_json, read_table
from banditlab.store.files import read_bytes
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
        """Whether something has the record's place."""
        return self.file(".json").exists()

    def record(self) -> dict[str, Any]:
        """The provenance record; OSError or ValueError, saying why, when the file does not hold one."""
        record = read_json(self.file(".json"))
        if not is_record(record):
            raise ValueError("has another shape than a record")
        return record

    def tables(self) -> Tables:
        """The saved tables, as `run` returned them; OSError or ValueError for one that is not that of the record."""
        entries = self.record()["tables"]
        return as_returned({part: read_table(self.csv(part), entry["sha256"]) for part, entry in entries.items()})

    def contents(self) -> dict[str, bytes]:
        """Part -> bytes of its CSV."""
        return {part: read_bytes(self.csv(part)) for part in self.record()["tables"]}

    def places(self) -> list[Path]:
        """Where `write` puts files, as far as is known before it, and what it removes."""
        return [self.file(".json"), self.csv(""), *self.folder.glob(f"{self.name}.*.csv")]

    def write(self, tables: Tables, record: Mapping[str, Any]) -> None:
        """Write tables and, last, the record with their checksums: tables of a run that was cut short are seen."""
        parts = by_part(tables)
        for part, table in parts.items():
            table.write(self.csv(part))
        write_atomically(self.file(".json"), as_json(record))
        self.remove_parts_but(parts)

    def remove_parts_but(self, parts: Mapping[str, object]) -> None:
        """Delete tables of parts that there are no more."""
        _, *tables = self.places()
        for path in tables:
            if path not in {self.csv(part) for part in parts}:
                path.unlink(missing_ok=True)

    def damage(self) -> str | None:
        """Why the files cannot be read as a result at all, or None when they can."""
        if not self.exists():
            return "missing"
        try:
            record = self.record()
        except (OSError, ValueError) as error:
            return f"without a readable record: {self.file('.json').name} {_reason(error)}"
        for part, entry in record["tables"].items():
            path = self.csv(part)
            try:
                table = read_table(path, entry["sha256"])
            except FileNotFoundError:
                return f"missing: {path.name}"
            except (OSError, ValueError) as error:
                return f"altered: {path.name} {_reason(error)}"
            if (described := entry.get("columns")) and (unlike := set(described) ^ set(table.columns)):
                return f"altered: {path.name} has other columns than its record: {', '.join(sorted(unlike))}"
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


def _reason(error: OSError | ValueError) -> str:
    return f"cannot be read ({error.strerror or error})" if isinstance(error, OSError) else str(error)


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
