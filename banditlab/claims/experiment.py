"""An experiment is declared data: a claim, its configurations, and the functions that measure and show it."""

from __future__ import annotations

import site
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from banditlab.claims.columns import Columns, described
from banditlab.claims.record_shape import PART
from banditlab.errors import ClaimError
from banditlab.store import Shards, Table, source_hash

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from banditlab.claims.checks import Check

PRESETS = ("smoke", "default", "paper")
Config = TypeVar("Config")
# What `run` returns: one table, or several by the name of their part.
Tables = Table | Mapping[str, Table]


@dataclass(frozen=True)
class Experiment(Generic[Config]):
    """One claim with its evidence.

    Args:
      claim: one sentence that could be false.
      presets: "default" (the committed table), and where there are such "smoke" (seconds, exercises the code) and
        "paper" (full size), all of one frozen dataclass.
      run: (config, shards) -> table, or {part: table}; every heavy step goes through ``shards.get``.
      check: what `run` returned -> checks; a deterministic function of the saved tables alone.
      plot: what `run` returned -> figure; likewise.
      columns: what each column of the table means (`banditlab.claims.columns`), or {part: the same}.
      name, family: of its files, and of the heading that it is listed under. By default those of the module that
        defines `run`: ``family.name``, or ``family.name.runs`` in a package.

    Raises ValueError when there is no default preset, a preset has another name, or their types differ.
    """

    claim: str
    presets: Mapping[str, Config]
    run: Callable[[Config, Shards], Tables]
    check: Callable[[Table], list[Check]] | Callable[[dict[str, Table]], list[Check]]
    plot: Callable[[Table], Figure] | Callable[[dict[str, Table]], Figure]
    columns: Columns
    name: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        if "default" not in self.presets or not set(self.presets) <= set(PRESETS):
            got = ", ".join(map(str, self.presets)) or "none"
            raise ValueError(f"presets must have 'default' and no others than {', '.join(PRESETS)}; got {got}")
        kinds = {type(config) for config in self.presets.values()}
        if len(kinds) != 1 or not is_dataclass(next(iter(kinds))):
            raise ValueError(f"presets must be of one dataclass; got {sorted(map(str, kinds))}")
        parts = self.run.__module__.split(".")
        if not self.name:
            below = len(parts) > 1 and Path(self._file).parent.name == parts[-2] and parts[-1] in PARTS
            object.__setattr__(self, "name", parts[-2] if below else parts[-1])
        if not self.family:
            place = Path(self._file).parent
            object.__setattr__(self, "family", place.parent.name if place.name == self.name else place.name)

    @property
    def config_type(self) -> type:
        """The dataclass of the presets."""
        return type(self.presets["default"])

    @property
    def home(self) -> Path:
        """Where results and figures of this claim lie by default: beside its file or its top-level package.

        The current folder for a claim that is installed with other packages.
        """
        *packages, _ = self.run.__module__.split(".")
        folder = Path(self._file).resolve().parents[len(packages)]
        installed = [Path(item).resolve() for item in (*site.getsitepackages(), site.getusersitepackages())]
        return Path.cwd() if folder in installed else folder

    @property
    def address(self) -> str:
        """What the command finds it by: its name, or its file when that is no part of a package."""
        return self.name if "." in self.run.__module__ else Path(self._file).name

    def measured(self, config: Config, shards: Shards) -> Tables:
        """What ``run`` returns; ClaimError when that is no table and no mapping of tables, or for such an error in it.

        A table refuses nan, unequal columns and no rows by a ValueError; a shard that holds other arrays than ``run``
        reads is a LookupError.
        """
        try:
            tables = self.run(config, shards)
        except (LookupError, ValueError) as error:
            raise self.failed("run", error) from error
        parts = tables.values() if isinstance(tables, Mapping) else [tables]
        if not parts or not all(isinstance(table, Table) for table in parts):
            raise self._returned("run", "a Table, or {part: Table}", tables)
        if wrong := [part for part in by_part(tables) if not PART.fullmatch(part)]:
            raise ClaimError(f"{self.name}: run must name its parts without / and \\; got {wrong[0]!r}")
        return tables

    def checked(self, tables: Tables) -> list[Check]:
        """What ``check`` returns; ClaimError when that is no list of checks."""
        from banditlab.claims.checks import Check

        found = cast("Callable[[Tables], list[Check]]", self.check)(tables)
        if not isinstance(found, (list, tuple)) or not all(isinstance(check, Check) for check in found):
            raise self._returned("check", "a list of Check", found)
        return list(found)

    def figure(self, tables: Tables) -> Figure:
        """``plot`` in the project's style; ClaimError when it returns no figure."""
        from matplotlib.figure import Figure

        from banditlab import plotting

        with plotting.style():
            found = cast("Callable[[Tables], Figure]", self.plot)(tables)
        if not isinstance(found, Figure):
            raise self._returned("plot", "a matplotlib Figure", found)
        return found

    def source_hash(self) -> str:
        """Hash of what the tables depend on: ``run``, the configuration class and all they use, as first read."""
        return source_hash(self.run, self.config_type)

    def dictionary(self, tables: Mapping[str, Table]) -> dict[str, dict[str, dict[str, str]]]:
        """{part: {column: {"meaning", "unit"}}}; ClaimError for a column of ``tables`` that is not described."""
        try:
            return {part: described(self.columns, part, list(table.columns)) for part, table in tables.items()}
        except ValueError as error:
            raise ClaimError(f"{self.name}: {error}") from error

    def failed(self, role: str, error: Exception) -> ClaimError:
        """An error in a function of the claim as one line, with its place in the claim's own files."""
        own = [step for step in traceback.extract_tb(error.__traceback__) if Path(step.filename).parent == self._folder]
        place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}: " if own else ""
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return ClaimError(f"{self.name}: {role} failed, {place}{kind}{error}")

    def _returned(self, role: str, wanted: str, got: object) -> ClaimError:
        function = getattr(self, role)
        place = f"{Path(self._file).name}, " if function.__module__ == self.run.__module__ else ""
        return ClaimError(f"{self.name}: {role} ({place}{function.__name__}) must return {wanted}; got {_kind(got)}")

    @property
    def _folder(self) -> Path:
        return Path(self._file).parent

    @property
    def _file(self) -> str:
        return str(sys.modules[self.run.__module__].__file__)


# The roles of the files of a package; a module of one of these names is no experiment by itself.
PARTS = ("experiment", "runs", "checks", "figure", "laws")


def _kind(value: object) -> str:
    """The type of a value, and of what it holds."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    of = ", ".join(sorted({type(item).__name__ for item in inner}))
    return f"{type(value).__name__}{f' of {of}' if of else ''}"


def by_part(tables: Tables) -> dict[str, Table]:
    """What `run` returned by the name of its parts; a single table's is empty."""
    return {"": tables} if isinstance(tables, Table) else dict(tables)


def as_returned(tables: Mapping[str, Table]) -> Tables:
    """The inverse of `by_part`."""
    return tables[""] if set(tables) == {""} else tables
