"""Immutable result shards: one npz per arm and range of seeds, which holds its key, digest and origin too."""

import errno
import io
import json
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike

from banditlab.store import archives, stopping
from banditlab.store.documents import json_of_bytes
from banditlab.store.files import read_bytes, sha256_of_bytes, write_atomically
from banditlab.store.provenance import Jsonable, config_hash

Event = Literal["expected", "started", "reused", "computed", "corrupt"]
Listener = Callable[[Event, str], None]
_FAILED = "failed/"
# The array of a shard's file that holds its key, digest and origin, as JSON in bytes.
_RECORD = "shard record"
# Of the files' layout: shards of another one are neither read nor removed.
_LAYOUT = 2
LARGEST = 2**34
_LONGEST_NAME = 255
Compute = Callable[[], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Piece:
    """What a record says of one shard.

    Attributes:
      arm, seeds: what was asked for.
      seconds: what computing it took, also when it was read back.
      digest: SHA-256 of its arrays, `digest`. arrays: name -> (dtype, shape).
    """

    arm: str
    seeds: tuple[int, int]
    digest: str
    seconds: float
    arrays: Mapping[str, tuple[str, tuple[int, ...]]]


def failures(counts: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Counts of what went wrong, by name, as entries of a shard: `Shards.get` keeps them apart from the arrays."""
    return {f"{_FAILED}{name}": np.asarray(count).sum() for name, count in counts.items()}


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the arrays' names, dtypes, shapes and bytes; the order of the names does not matter."""
    parts = []
    for name, values in sorted(arrays.items()):
        content = np.ascontiguousarray(values).tobytes()
        parts.append(f"{name}\0{values.dtype.str}\0{values.shape}\0{len(content)}\0".encode() + content)
    return sha256_of_bytes(b"".join(parts))


@dataclass
class Shards:
    """The finished pieces of one experiment at one configuration.

    A shard is keyed by (experiment, config hash, arm, seed range, source hash, circumstances). One that is there and
    intact is read back; one that is missing, truncated or altered is computed (again) and written.

    Args:
      folder: where the shards of this experiment and configuration live.
      experiment, config_hash, source_hash: the part of the key that all shards here share.
      circumstances: what else decides the numbers: precision, platform, releases of JAX.
      fresh: compute every shard again, whatever is there.
      listener: called with (event, detail) as the work goes on; for progress bars and warnings.
    """

    folder: Path
    experiment: str
    config_hash: str
    source_hash: str
    circumstances: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    listener: Listener = lambda event, detail: None
    reused: int = 0
    computed: int = 0
    reused_seconds: float = 0.0
    pieces: list[Piece] = field(default_factory=list)
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    _asked: set[tuple[str, tuple[int, int]]] = field(default_factory=set)

    def expect(self, count: int) -> None:
        """Announce that ``count`` shards will be asked for, so that progress has an end."""
        self.listener("expected", str(count))

    def get(self, arm: str, seeds: tuple[int, int], compute: Compute) -> dict[str, np.ndarray]:
        """The arrays of ``arm`` on the seeds start <= seed < stop: read if finished, else computed and kept.

        Args:
          arm: name of the arm; with ``seeds`` it must say all that ``compute`` depends on besides the config.
          seeds: (start, stop).
          compute: returns named arrays of booleans, numbers or strings; inf is allowed, nan is not. What `failures`
            makes of counts may stand among them.
        Returns: the named arrays, as NumPy, without the counts of failures: these go into ``failures``, by arm.
        Raises ValueError for nan, an object array, an empty range, an arm asked for twice or of too long a name, and
        OSError where the file cannot be; for what is known before, before computing. KeyboardInterrupt where the
        process is to stop.
        """
        stopping.check()
        start, stop = seeds
        if not 0 <= start < stop:
            raise ValueError(f"seeds must be (start, stop) with 0 <= start < stop; got {seeds}")
        if (arm, seeds) in self._asked:
            raise ValueError(f"arm must be asked for once per seed range; got {arm!r}, {seeds} twice")
        self._asked.add((arm, seeds))
        self.listener("started", arm)
        arrays, seconds = self._obtain(arm, seeds, compute)
        shapes = {name: (values.dtype.str, values.shape) for name, values in arrays.items()}
        self.pieces.append(Piece(arm, seeds, digest(arrays), seconds, shapes))
        counts = {name: int(value) for name, value in arrays.items() if name.startswith(_FAILED)}
        for name, count in counts.items():
            known = self.failures.setdefault(arm, {})
            known[name.removeprefix(_FAILED)] = known.get(name.removeprefix(_FAILED), 0) + count
        return {name: values for name, values in arrays.items() if name not in counts}

    def beside(self, name: str, config: Jsonable, source_hash: str) -> "Shards":
        """Shards that several experiments share: in a folder of their own beside these, found by their content."""
        hashed = config_hash(config)
        folder = self.folder.parent.parent / name / hashed[:16]
        return Shards(folder, name, hashed, source_hash, circumstances=self.circumstances, fresh=self.fresh)

    def of_other_keys(self) -> int:
        """How many shards here are of other sources, circumstances or layouts: they are kept, and not used."""
        return sum(not path.stem.endswith(f"-{self._stamp()}") for path in self.folder.glob("*.npz"))

    def _obtain(self, arm: str, seeds: tuple[int, int], compute: Compute) -> tuple[dict[str, np.ndarray], float]:
        path = self._path(arm, seeds)
        found = None if self.fresh else self._read(path, arm, seeds)
        if found is not None:
            self.reused += 1
            self.reused_seconds += found[1]
            self.listener("reused", arm)
            return found
        started = time.perf_counter()
        arrays = checked(arm, compute())
        seconds = time.perf_counter() - started
        write_atomically(path, self._content(arm, seeds, arrays, seconds))
        self.computed += 1
        self.listener("computed", arm)
        return arrays, seconds

    def _path(self, arm: str, seeds: tuple[int, int]) -> Path:
        name = f"{quote(arm, safe=' =+,')}-{seeds[0]}-{seeds[1]}-{self._stamp()}.npz"
        if len(name) > _LONGEST_NAME:
            most = _LONGEST_NAME - len(name) + len(quote(arm, safe=" =+,"))
            raise ValueError(f"arm must have a name of at most {most} letters; got {arm[:20]!r}... of {len(arm)}")
        path = self.folder / name
        if path.is_dir():
            raise OSError(errno.EISDIR, "a folder is where a shard is to be written", str(path))
        return path

    def _stamp(self) -> str:
        shared = {"layout": _LAYOUT, "source_hash": self.source_hash, "circumstances": dict(self.circumstances)}
        return sha256_of_bytes(json.dumps(shared, sort_keys=True).encode())[:12]

    def _key(self, arm: str, seeds: tuple[int, int]) -> dict[str, object]:
        shared = {name: getattr(self, name) for name in ("experiment", "config_hash", "source_hash")}
        return {**shared, "circumstances": dict(self.circumstances), "arm": arm, "seeds": list(seeds)}

    def _content(self, arm: str, seeds: tuple[int, int], arrays: Mapping[str, np.ndarray], seconds: float) -> bytes:
        record = {
            **self._key(arm, seeds),
            "digest": digest(arrays),
            "compute_seconds": seconds,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return packed(arrays, record)

    def _read(self, path: Path, arm: str, seeds: tuple[int, int]) -> tuple[dict[str, np.ndarray], float] | None:
        if not path.exists():
            return None
        try:
            arrays, record = unpacked(read_bytes(path, LARGEST))
            if any(record.get(name) != value for name, value in self._key(arm, seeds).items()):
                raise ValueError("its key is another's")
            if record.get("digest") != digest(arrays):
                raise ValueError("its checksum does not match")
            seconds = record.get("compute_seconds")
            if not isinstance(seconds, float) or not 0 <= seconds < math.inf:
                raise ValueError(f"its compute_seconds are {seconds!r}")
            return arrays, seconds
        except (OSError, ValueError) as error:
            self.listener("corrupt", f"shard {path} cannot be used ({error}); it is computed again")
            return None


def packed(arrays: Mapping[str, np.ndarray], record: Mapping[str, object]) -> bytes:
    """The file of a shard: an npz of arrays of any names; `np.savez` takes some for its own arguments."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in {**arrays, _RECORD: np.asarray(json.dumps(record).encode())}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
    return buffer.getvalue()


def unpacked(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays in a shard's file, and its record, empty where it holds none; ValueError for other bytes."""
    arrays = archives.of_bytes(content)
    record = json_of_bytes(arrays.pop(_RECORD).tobytes().rstrip(b"\0")) if _RECORD in arrays else {}
    if not isinstance(record, dict):
        raise ValueError("its record is none")
    return arrays, record


def checked(arm: str, arrays: Mapping[str, object]) -> dict[str, np.ndarray]:
    """``arrays`` as NumPy; ValueError, naming ``arm`` and the array, for nan and for other than numbers or texts."""
    found = {}
    for name, values in arrays.items():
        if name == _RECORD:
            raise ValueError(f"{arm}: arrays must have other names than {name!r}, the shard's own")
        array = np.asarray(values)
        if array.dtype.kind not in "biufUS":
            raise ValueError(f"{arm}: {name} must be an array of booleans, numbers or strings; got {array.dtype}")
        if array.dtype.kind == "f" and np.isnan(array).any():
            got = f"{int(np.isnan(array).sum())} of {array.size}"
            raise ValueError(f"{arm}: {name} must hold no nan; got {got}")
        found[name] = array
    return found
