"""What a run leaves in its folder: its configuration, one line of metrics per round, and checkpoints."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from banditlab.command.arguments import flag
from banditlab.errors import CommandLineError, require_writable
from banditlab.llm import checkpoint

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are then not told apart
    fcntl = None


class Folder:
    """A run's folder, whose metrics and checkpoints agree after every `record`, and after `rewind` on a kill."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.metrics = root / "metrics.jsonl"
        self.pretraining = root / "pretraining"
        self.rounds = root / "rounds"

    @contextmanager
    def held(self) -> Iterator[None]:
        """For one run at a time.

        Raises:
            CommandLineError: if the folder cannot be written to, or another run is writing to it.
        """
        require_writable("--out", self.root)
        with (self.root / ".lock").open("w") as lock:
            try:
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CommandLineError(f"--out '{self.root}' is being written to by another run") from error
            yield

    def claim(self, values: dict[str, Any]) -> None:
        """Write the configuration into a new folder; in an old one it must be the same.

        Raises:
            CommandLineError: naming the first option that differs.
        """
        path = self.root / "config.json"
        if not path.exists():
            if self.metrics.exists() or checkpoint.numbers(self.pretraining):
                raise CommandLineError(f"--out '{self.root}' holds a run without its config.json; use another folder")
            _replace(path, json.dumps(values, indent=1) + "\n")
            return
        try:
            saved = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise CommandLineError(f"--out '{self.root}' has a damaged config.json; use another folder") from error
        wanted = json.loads(json.dumps(values))
        for name in [*wanted, *saved]:
            if wanted.get(name) != saved.get(name):
                raise CommandLineError(
                    f"--out '{self.root}' holds a run of another configuration, {flag(name)} {saved.get(name)}; "
                    f"got {wanted.get(name)}: use another folder"
                )

    def rewind(self, number: int) -> None:
        """Keep the metrics of rounds 0 .. number only, those of the checkpoint that the run goes on from.

        Raises:
            CommandLineError: if they are not all there.
        """
        lines = self.metrics.read_bytes().splitlines(keepends=True) if self.metrics.exists() else []
        kept = lines[: number + 1] if number >= 0 else []
        if [_round_of(line) for line in kept] != list(range(number + 1)):
            raise CommandLineError(
                f"'{self.metrics}' lacks rounds of the checkpoint of round {number}; use another folder for --out"
            )
        if kept != lines:
            _replace(self.metrics, b"".join(kept).decode())

    def record(self, row: dict[str, Any]) -> None:
        """Append a line. Written before the round's checkpoint, so that a checkpoint never lacks its line."""
        line = json.dumps({name: _jsonable(value) for name, value in row.items()}, allow_nan=False)
        with self.metrics.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _round_of(line: bytes) -> int | None:
    """The round of a complete line."""
    try:
        return json.loads(line)["round"] if line.endswith(b"\n") else None
    except (ValueError, TypeError, KeyError):
        return None


def _jsonable(value: Any) -> Any:
    """JSON has no inf and no nan: they are written as strings."""
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else str(number)


def _replace(path: Path, text: str) -> None:
    """The whole text or what was there."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.replace(new, path)
