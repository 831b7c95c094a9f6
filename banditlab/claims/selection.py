"""What a command is about: an experiment at a preset, with some fields of its configuration set."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banditlab.claims.experiment import PRESETS, Experiment
from banditlab.claims.ranges import require_sensible
from banditlab.claims.result_files import Result
from banditlab.claims.settings import changed, spelled
from banditlab.store import config_hash
from banditlab.store.provenance import Dataclass

_LONGEST = 80  # characters of a folder's name


@dataclass(frozen=True)
class Selection:
    """An experiment at one configuration.

    Attributes:
      settings: the text of every field that was set to another value than the preset's, by its name; the folder of
        the results is named by them.
      output: folder of results; None for ``results`` in the claim's home.
    """

    experiment: Experiment
    preset: str
    config: Dataclass
    settings: Mapping[str, str]
    output: Path | None = None

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def label(self) -> str:
        """Name and configuration, as a report shows them: ``staircase [default, step=0.4]``."""
        return f"{self.name} [{', '.join([self.preset, *(f'{key}={text}' for key, text in self.settings.items())])}]"

    @property
    def is_set(self) -> bool:
        """Whether any field was set: nothing is committed then, and checks may be too weak to tell."""
        return bool(self.settings)

    @property
    def hashes(self) -> tuple[str, str]:
        """Hash of the sources, and of the configuration."""
        return self.experiment.source_hash(), config_hash(self.config)

    @property
    def results(self) -> Path:
        """The folder of all results and shards."""
        return self.output if self.output is not None else self.experiment.home / "results"

    @property
    def fresh(self) -> Result:
        """What `run` and `figures` write."""
        chosen = "+".join(f"{key}={text}" for key, text in self.settings.items())
        folder = f"{self.preset}+{chosen}" if chosen else self.preset
        if not re.fullmatch(rf"[\w+=.,\[\]-]{{1,{_LONGEST}}}", folder):
            folder = f"{self.preset}+{config_hash(self.config)[:12]}"
        return Result(self.results / folder, self.name)

    @property
    def shards(self) -> Path:
        """The folder of the shards of this configuration."""
        return self.results / "shards" / self.name / config_hash(self.config)[:16]

    def committed(self, preset: str | None = None) -> Result | None:
        """What `figures --update` writes; None for the smoke preset, and where fields were set."""
        preset = self.preset if preset is None else preset
        figures = self.experiment.home / "figures"
        folders = {"default": figures, "paper": figures / "paper"}
        return None if self.is_set or preset not in folders else Result(folders[preset], self.name)

    def command(self, verb: str) -> str:
        """How this is asked for on the command line."""
        sets = "".join(f" --set {shlex.quote(f'{key}={text}')}" for key, text in self.settings.items())
        folder = "" if self.output is None else f" --output {shlex.quote(str(self.output))}"
        return f"banditlab {verb} {self.experiment.address} --preset {self.preset}{sets}{folder}"


def select(
    experiment: Experiment,
    preset: str = "default",
    settings: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Selection:
    """``experiment`` at ``preset`` with the fields in ``settings`` set from their texts.

    Raises ValueError naming the preset or the field that there is not, the text that does not read as its type, or the
    value that nothing can be computed with.
    """
    if preset not in experiment.presets:
        known = ", ".join(name for name in PRESETS if name in experiment.presets)
        raise ValueError(f"--preset must be one of {known} for {experiment.name}; got {preset!r}")
    usual = experiment.presets[preset]
    config = changed(usual, settings or {})
    require_sensible(config, experiment.presets.values(), settings or ())
    return Selection(experiment, preset, config, spelled(config, usual, settings or ()), output)


def with_paper(selection: Selection) -> Selection:
    """The same experiment at its paper preset."""
    return dataclasses.replace(selection, preset="paper", config=selection.experiment.presets["paper"])
