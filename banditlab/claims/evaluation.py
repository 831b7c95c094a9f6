"""A claim from Python: compute it at any setting, ask its checks, draw it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from banditlab.claims import registry, running
from banditlab.claims.experiment import Experiment, Tables
from banditlab.claims.instances import Instance
from banditlab.claims.selection import Selection, select
from banditlab.errors import CommandLineError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from banditlab.claims.checks import Check


@dataclass(frozen=True)
class Outcome:
    """What `evaluate` found.

    Attributes:
      selection: experiment, preset and configuration.
      tables: the table, or the tables by part.
      checks: predictions against measurements. record: provenance, as JSON data.
    """

    selection: Selection
    tables: Tables
    checks: list[Check]
    record: dict[str, Any]

    def figure(self) -> Figure:
        """The experiment's figure of these tables."""
        return self.selection.experiment.figure(self.tables)


def evaluate(
    claim: str | Path | Experiment,
    preset: str = "default",
    *,
    output: Path | None = None,
    fresh: bool = False,
    **settings: ArrayLike | Instance | None,
) -> Outcome:
    """Compute a claim, with finished shards reused, and ask its checks; the same as `banditlab run` and `verify`.

    Args:
      claim: a name, a file or a module of a claim, or the `Experiment` itself.
      preset: which sizes to start from.
      output: folder of results; by default ``results`` beside the claim.
      fresh: compute every shard again.
      settings: fields of the configuration by name, as values or as the texts that ``--set`` takes.

    Raises ValueError for an unknown claim, preset or field, for a value of the wrong type or that the claim cannot be
    computed with, and for a claim whose functions return something else than `Experiment` asks for.

    Example:
      >>> found = banditlab.claims.evaluate("staircase", "smoke", num_pairs=400)
      >>> all(check.passed for check in found.checks)
    """
    experiment = claim if isinstance(claim, Experiment) else _found(str(claim))
    texts = {name: _as_typed(value) for name, value in settings.items()}
    selection = select(experiment, preset, texts, output)
    running.run(selection, fresh=fresh)
    tables = selection.fresh.tables()
    return Outcome(selection, tables, experiment.checked(tables), selection.fresh.record())


def _as_typed(value: ArrayLike | Instance | None) -> str:
    """A value as ``--set`` takes it; NumPy's scalars and arrays as Python's."""
    if isinstance(value, (str, Instance)):
        return str(value)
    return repr(value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value)


def _found(claim: str) -> Experiment:
    try:
        (experiment,) = registry.load_all([claim])
    except CommandLineError as error:
        raise ValueError(f"claim: {error}") from error
    except ValueError as error:
        raise ValueError(f"claim must name one claim; got {claim!r}, a family") from error
    return experiment
