"""Immutable result shards: one npz per arm and range of seeds, with its checksum and origin beside it."""

import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np

from banditlab.store.files import sha256_of_bytes, write_atomically

Event = Literal["expected", "started", "reused", "computed", "corrupt"]
Listener = Callable[[Event, str], None]


@dataclass
class Shards:
    """The finished pieces of one experiment at one configuration.

    A shard is keyed by (experiment, config hash, arm, seed range, source hash). One that is there and intact
    is read back; one that is missing, truncated or altered is computed (again) and written.

    Args:
      folder: where the shards of this experiment and configuration live.
      experiment, config_hash, source_hash: the part of the key that all shards here share.
      fresh: compute every shard again, whatever is there.
      listener: called with (event, detail) as the work goes on; for progress bars and warnings.
    """

    folder: Path
    experiment: str
    config_hash: str
    source_hash: str
    fresh: bool = False
    listener: Listener = lambda event, detail: None
    reused: int = 0
    computed: int = 0
    compute_seconds: float = 0.0
    seeds: dict[str, tuple[int, int]] = field(default_factory=dict)
    _asked: set[tuple[str, tuple[int, int]]] = field(default_factory=set)

    def expect(self, count: int) -> None:
        """Announce that ``count`` shards will be asked for, so that progress has an end."""
        self.listener("expected", str(count))

    def get(
        self, arm: str, seeds: tuple[int, int], compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The arrays of ``arm`` on the seeds start <= seed < stop: read if finished, else computed and kept.

        Args:
          arm: name of the arm; with ``seeds`` it must say all that ``compute`` depends on besides the config.
          seeds: (start, stop).
          compute: returns named arrays of booleans, numbers or strings; inf is allowed, nan is not.
        Returns: the named arrays, as NumPy.
        Raises ValueError for nan, an object array, an empty range, or an arm asked for twice.
        """
        start, stop = seeds
        if not 0 <= start < stop:
            raise ValueError(f"seeds must be (start, stop) with 0 <= start < stop; got {seeds}")
        if (arm, seeds) in self._asked:
            raise ValueError(f"arm must be asked for once per seed range; got {arm!r}, {seeds} twice")
        self._asked.add((arm, seeds))
        self.listener("started", arm)
        stem = f"{quote(arm, safe=' =+,')}-{start}-{stop}-{self.source_hash[:12]}"
        path = self.folder / f"{stem}.npz"
        found = None if self.fresh else self._read(path, arm, seeds)
        if found is None:
            arrays, seconds = self._compute(path, arm, seeds, compute)
            self.computed += 1
        else:
            arrays, seconds = found
            self.reused += 1
        self.compute_seconds += seconds
        known = self.seeds.get(arm, seeds)
        self.seeds[arm] = (min(start, known[0]), max(stop, known[1]))
        self.listener("computed" if found is None else "reused", arm)
        return arrays

    def _key(self, arm: str, seeds: tuple[int, int]) -> dict[str, object]:
        shared = {name: getattr(self, name) for name in ("experiment", "config_hash", "source_hash")}
        return {**shared, "arm": arm, "seeds": list(seeds)}

    def _compute(
        self, path: Path, arm: str, seeds: tuple[int, int], compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> tuple[dict[str, np.ndarray], float]:
        started = time.perf_counter()
        arrays = {name: _checked(f"{arm}: {name}", values) for name, values in compute().items()}
        seconds = time.perf_counter() - started
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        content = buffer.getvalue()
        sidecar = {
            **self._key(arm, seeds),
            "sha256": sha256_of_bytes(content),
            "compute_seconds": seconds,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        # The sidecar comes last: arrays without one are unfinished, arrays of another one fail its checksum.
        write_atomically(path, content)
        write_atomically(path.with_suffix(".json"), json.dumps(sidecar, indent=1).encode())
        return arrays, seconds

    def _read(self, path: Path, arm: str, seeds: tuple[int, int]) -> tuple[dict[str, np.ndarray], float] | None:
        if not path.with_suffix(".json").exists() and not path.exists():
            return None
        try:
            sidecar = json.loads(path.with_suffix(".json").read_bytes())
            content = path.read_bytes()
            if sidecar["sha256"] != sha256_of_bytes(content):
                raise ValueError("its checksum does not match")
            if any(sidecar.get(name) != value for name, value in self._key(arm, seeds).items()):
                raise ValueError("its key is another's")
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return dict(archive), float(sidecar["compute_seconds"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.listener("corrupt", f"shard {path} cannot be used ({error}); it is computed again")
            return None


def _checked(name: str, values: object) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biufUS":
        raise ValueError(f"{name} must be an array of booleans, numbers or strings; got {array.dtype}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{name} must hold no nan; got {int(np.isnan(array).sum())} of {array.size}")
    return array
