"""An experiment is declared data: a claim, its configurations, and the functions that measure and show it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from banditlab.store import Shards, Table, source_hash
from experiments.framework.arguments import PRESETS
from experiments.framework.checks import Check

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Config = TypeVar("Config")


@dataclass(frozen=True)
class Experiment(Generic[Config]):
    """One claim with its evidence.

    Args:
      name: the name of its module and of its files.
      claim: one sentence that could be false.
      family: the heading it is listed under.
      presets: "smoke" (seconds, exercises the code), "default" (the committed table), "paper" (full size),
        all of one frozen dataclass.
      run: (config, shards) -> table; every heavy step goes through ``shards.get``.
      check: table -> checks; a deterministic function of the saved table alone.
      plot: table -> figure; likewise.

    Raises ValueError when a preset is missing or their types differ.
    """

    name: str
    claim: str
    family: str
    presets: Mapping[str, Config]
    run: Callable[[Config, Shards], Table]
    check: Callable[[Table], list[Check]]
    plot: Callable[[Table], "Figure"]

    def __post_init__(self) -> None:
        if set(self.presets) != set(PRESETS):
            raise ValueError(f"presets must be {', '.join(PRESETS)}; got {', '.join(self.presets)}")
        kinds = {type(config) for config in self.presets.values()}
        if len(kinds) != 1 or not is_dataclass(next(iter(kinds))):
            raise ValueError(f"presets must be of one dataclass; got {sorted(map(str, kinds))}")

    def figure(self, table: Table) -> "Figure":
        """``plot`` in the project's style."""
        from banditlab import plotting

        with plotting.style():
            return self.plot(table)

    def source_hash(self) -> str:
        """Hash of what the table depends on: ``run``, the configuration class and all they use, as first read."""
        return source_hash(self.run, type(self.presets["default"]))
