"""Where results lie: fresh ones in a git-ignored folder by preset, committed ones under ``figures``."""

import json
from dataclasses import dataclass
from pathlib import Path

from banditlab.store import Table, sha256_of_bytes
from experiments import CHECKOUT

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

    def problem(self, source_hash: str, config_hash: str) -> str | None:
        """Why the files cannot stand for the present sources, or None when they can."""
        try:
            record = json.loads(self.file(".json").read_bytes())
        except ValueError:
            return "the record is not JSON"
        if record.get("sha256") != sha256_of_bytes(self.file(".csv").read_bytes()):
            return "the table is not the one of its record (checksum)"
        if record.get("source_hash") != source_hash:
            return "stale: its sources have changed"
        if record.get("config_hash") != config_hash:
            return "stale: its configuration has changed"
        return None


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
