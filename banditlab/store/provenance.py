"""Where a result came from: configuration, sources, commit, versions, device, seeds, failures, checksum."""

import dataclasses
import json
import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from banditlab.store.files import sha256_of_bytes

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Dataclass(Protocol):
    """Any instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


# What `plain` makes JSON data of.
_Value = Dataclass | np.ndarray | np.generic | bool | int | float | str
Jsonable: TypeAlias = "_Value | Sequence[Jsonable] | Mapping[str, Jsonable] | None"

PACKAGES = ("banditlab", "jax", "jaxlib", "numpy", "scipy")


def plain(value: Jsonable) -> Json:
    """``value`` as strict JSON data: dataclasses become objects, infinities text; ValueError for the rest."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        found = {str(name): plain(part) for name, part in value.items()}
        if len(found) < len(value):
            raise ValueError(f"config and facts must not have names that read the same; got {sorted(map(repr, value))}")
        return found
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and value == value):
        return value
    raise ValueError(f"config and facts must hold numbers other than nan, text and containers; got {value!r}")


def config_hash(config: Jsonable) -> str:
    """SHA-256 of the values by field name that differ from their dataclass's defaults, in any order.

    A new field whose default is the former constant therefore moves no hash; the defaults themselves belong to the
    source hash. A mapping has no defaults: all of its entries count.
    """
    return sha256_of_bytes(json.dumps(plain(_told_apart(_chosen(config))), sort_keys=True, allow_nan=False).encode())


def _told_apart(value: Jsonable) -> Jsonable:
    """`value` with text that reads like an infinity, which `plain` writes as text too, marked as text."""
    if isinstance(value, str) and value in ("inf", "-inf"):
        return {"text": value}
    if isinstance(value, Mapping):
        # A name that is no text may read like one.
        return {name if isinstance(name, str) else f"{name!r}, no text": _told_apart(p) for name, p in value.items()}
    return [_told_apart(part) for part in value] if isinstance(value, (list, tuple)) else value


def _chosen(value: Jsonable) -> Jsonable:
    """A dataclass as the mapping of those fields that differ from their defaults, nested ones too."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    found = {}
    for part in dataclasses.fields(value):
        own = getattr(value, part.name)
        default = part.default if part.default_factory is dataclasses.MISSING else part.default_factory()
        if default is dataclasses.MISSING or plain(own) != plain(default) or type(own) is not type(default):
            found[part.name] = _chosen(own) if type(own) is type(default) else own
    return found


def origin_record(
    *,
    experiment: str,
    preset: str,
    config: Jsonable,
    source_hash: str,
    tables: Mapping[str, Jsonable],
    folder: Path,
    watched: Sequence[str],
    **facts: Jsonable,
) -> dict[str, Json]:
    """The provenance record of one result, as JSON data.

    Args:
      experiment, preset, config: what was asked for.
      source_hash: of the sources that the result depends on (`banditlab.store.source_hash`).
      tables: part -> checksum of its CSV, which ties the files together, rows and data dictionary.
      folder, watched: as for `commit_of`.
      facts: what else is worth keeping: circumstances, machine, cost, shards, failures.
    """
    record = {
        "experiment": experiment,
        "preset": preset,
        "config": config,
        "config_hash": config_hash(config),
        "source_hash": source_hash,
        "tables": tables,
        "created": now(),
        **commit_of(folder, watched),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        **facts,
    }
    return {name: plain(value) for name, value in record.items()}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def commit_of(folder: Path, watched: Sequence[str] = (".",)) -> dict[str, str | bool | None]:
    """The commit of ``folder``, and whether tracked files under its parts ``watched`` differ from it.

    Both are None outside a repository, and without git.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        there = [part for part in watched if (folder / part).exists()]
        return {"commit": commit, "dirty": git("status", "--porcelain", "--untracked-files=no", "--", *there) != ""}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
