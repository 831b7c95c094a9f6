"""What a run leaves in its folder: its configuration, one line of metrics per round, and checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from banditlab.command.arguments import flag
from banditlab.errors import CommandLineError, require_writable
from banditlab.llm import checkpoint
from banditlab.store import write_atomically
from banditlab.store.documents import json_of_bytes, read_json
from banditlab.store.files import append, read_bytes

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
        self._config = root / "config.json"
        self._sum = hashlib.sha256()

    @contextmanager
    def held(self) -> Iterator[None]:
        """For one run at a time.

        Raises:
            CommandLineError: if the folder cannot be written to, holds something else in the place of a run's files,
                or another run is writing to it.
        """
        require_writable("--out", self.root)
        for path in (self.pretraining, self.rounds):
            if path.exists() and not path.is_dir():
                raise CommandLineError(f"--out '{self.root}' must be a run's folder; '{path}' is no folder")
        for path in (self._config, self.metrics):
            if path.exists() and not path.is_file():
                raise CommandLineError(f"--out '{self.root}' must be a run's folder; '{path}' is no regular file")
        with self._lock() as lock:
            try:
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CommandLineError(f"--out '{self.root}' is being written to by another run") from error
            yield

    @contextmanager
    def _lock(self) -> Iterator[int]:
        """The file that says that a run is going on. A link in its place is not followed: nothing else is touched."""
        path = self.root / ".lock"
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise CommandLineError(
                f"--out '{self.root}' must be a run's folder; '{path}' is no regular file"
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CommandLineError(f"--out '{self.root}' must be a run's folder; '{path}' is no regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    def claim(self, values: dict[str, Any]) -> None:
        """Write the configuration into a new folder; in an old one it must be the same.

        Raises:
            CommandLineError: naming the first option that differs.
        """
        if not self._config.exists():
            if self.metrics.exists() or checkpoint.numbers(self.pretraining):
                raise CommandLineError(f"--out '{self.root}' holds a run without its config.json; use another folder")
            write_atomically(self._config, (json.dumps(values, indent=1) + "\n").encode())
            return
        try:
            saved = read_json(self._config)
            if not isinstance(saved, dict):
                raise ValueError("holds no options")
        except ValueError as error:
            message = f"--out '{self.root}' has a damaged config.json, which {error}; use another folder"
            raise CommandLineError(message) from error
        wanted = json.loads(json.dumps(values))
        for name in [*wanted, *saved]:
            if wanted.get(name) != saved.get(name):
                raise CommandLineError(
                    f"--out '{self.root}' holds a run of another configuration, {flag(name)} {saved.get(name)}; "
                    f"got {wanted.get(name)}: use another folder"
                )

    def rewind(self, number: int, digest: str = "") -> None:
        """Keep the metrics of rounds 0 .. number only, those of the checkpoint that the run goes on from.

        Args:
            digest: theirs, as the checkpoint knows it; none for `number` -1, which keeps nothing.

        Raises:
            CommandLineError: if they are not all there as they were written.
        """
        try:
            content = read_bytes(self.metrics) if self.metrics.exists() else b""
        except ValueError as error:
            raise CommandLineError(f"'{self.metrics}' {error}; use another folder for --out") from error
        lines = content.splitlines(keepends=True)
        kept = lines[: number + 1] if number >= 0 else []
        if [_round_of(line) for line in kept] != list(range(number + 1)):
            raise CommandLineError(
                f"'{self.metrics}' lacks rounds of the checkpoint of round {number}; use another folder for --out"
            )
        self._sum = hashlib.sha256(b"".join(kept))
        if number >= 0 and self.digest != digest:
            raise CommandLineError(
                f"'{self.metrics}' was altered since the checkpoint of round {number}; use another folder for --out"
            )
        if kept != lines:
            write_atomically(self.metrics, b"".join(kept))

    def record(self, row: dict[str, Any]) -> None:
        """Append a line. Written before the round's checkpoint, so that a checkpoint never lacks its line."""
        line = json.dumps({name: _jsonable(value) for name, value in row.items()}, allow_nan=False) + "\n"
        append(self.metrics, line.encode())
        self._sum.update(line.encode())

    @property
    def digest(self) -> str:
        """SHA-256 of the metrics so far."""
        return self._sum.hexdigest()


def _round_of(line: bytes) -> int | None:
    """The round of a complete line."""
    try:
        return json_of_bytes(line)["round"] if line.endswith(b"\n") else None
    except (ValueError, TypeError, KeyError):
        return None


def _jsonable(value: Any) -> Any:
    """JSON has no inf and no nan: they are written as strings."""
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else str(number)
