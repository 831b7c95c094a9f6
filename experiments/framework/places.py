"""Where results lie: fresh ones in a git-ignored folder by preset, committed ones under ``figures``."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banditlab.store import Table, sha256_of_bytes
from experiments import CHECKOUT

_NUMBERS = re.compile(r"\[((?:\s*-?\d+,?)+)\s*\]")
FIGURES = CHECKOUT / "figures"
DRAWN = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Result:
    """The files of one experiment at one preset: ``stem`` with .csv, .json (its record), .png, .svg, .pdf."""

    folder: Path
    name: str

    def file(self, suffix: str) -> Path:
        """The file with this suffix, e.g. ".csv"; it need not exist."""
        return self.folder / f"{self.name}{suffix}"

    def exists(self) -> bool:
        """Whether the table and its record are there."""
        return self.file(".csv").is_file() and self.file(".json").is_file()

    def table(self) -> Table:
        """The saved table."""
        return Table.read(self.file(".csv"))

    def record(self) -> dict[str, object]:
        """The provenance record; ValueError when it is not one."""
        record = json.loads(self.file(".json").read_bytes())
        if not isinstance(record, dict):
            raise ValueError(f"{self.file('.json')} must be a JSON object; got {type(record).__name__}")
        return record

    def damage(self) -> str | None:
        """Why the files cannot be read as a result at all, or None when they can."""
        if not self.exists():
            return "missing"
        try:
            record = self.record()
        except ValueError:
            return "the record is not JSON"
        if record.get("sha256") != sha256_of_bytes(self.file(".csv").read_bytes()):
            return "the table is not the one of its record (checksum)"
        return None

    def outdated(self, source_hash: str, config_hash: str) -> str | None:
        """Why the stamp of an undamaged result is not that of the present sources, or None when it is."""
        record = self.record()
        stamp = str(record.get("source_hash"))
        if ":" not in stamp:
            return "stale: stamped by the rule of an older version"
        if source_hash not in (stamp, *(sample["source_hash"] for sample in confirmations(record))):
            return "stale: its sources have changed"
        if record.get("config_hash") != config_hash:
            return "stale: its configuration has changed"
        return None

    def problem(self, source_hash: str, config_hash: str) -> str | None:
        """Why the files cannot stand for the present sources, or None when they can."""
        return self.damage() or self.outdated(source_hash, config_hash)


def confirmations(record: Mapping[str, object]) -> list[dict[str, object]]:
    """What `confirm` added to a record: sources of which a sample of shards came out the same."""
    return list(record.get("confirmed", []))  # type: ignore[arg-type]


def as_json(record: Mapping[str, object]) -> bytes:
    """A record as it is written; lists of numbers take one line each."""
    text = json.dumps(record, indent=1, allow_nan=False)
    return (
        _NUMBERS.sub(lambda found: "[" + ", ".join(part.strip() for part in found[1].split(",")) + "]", text) + "\n"
    ).encode()


def is_float64(record: Mapping[str, object]) -> bool:
    """Whether the numbers of a record were computed in double precision; others are never compared."""
    return record.get("dtype") == "float64"


def fresh(output: Path, preset: str, name: str) -> Result:
    """What `run` and `figures` write."""
    return Result(output / preset, name)


def committed(preset: str, name: str) -> Result | None:
    """What `figures --update` writes; the smoke preset has no committed results."""
    folders = {"default": FIGURES, "paper": FIGURES / "paper"}
    return Result(folders[preset], name) if preset in folders else None


def shards_folder(output: Path, name: str, config_hash: str) -> Path:
    """The shards of one experiment at one configuration."""
    return output / "shards" / name / config_hash[:16]
