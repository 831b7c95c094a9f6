"""The experiments there are, by module name; a module is imported only when its experiment is wanted."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from experiments.framework.arguments import CommandLineError, unknown

if TYPE_CHECKING:
    from experiments.framework.experiment import Experiment

FOUNDATION: tuple[str, ...] = (
    "staircase",
    "random_features",
    "batch_threshold",
    "coverage_improvement",
    "floor_constants",
    "exact_chain",
    "hybrid_two_rounds",
)


def names() -> tuple[str, ...]:
    """Names of all experiments, in the order in which they are listed, run and verified."""
    return FOUNDATION


def load(name: str) -> "Experiment":
    """The experiment called ``name``; CommandLineError when there is none."""
    if name not in names():
        raise CommandLineError(unknown("NAME", name, names()))
    experiment = import_module(f"experiments.{name}").EXPERIMENT
    if experiment.name != name:
        raise ValueError(f"name must be that of its module, {name!r}; got {experiment.name!r}")
    return experiment


def load_all(wanted: Sequence[str]) -> "list[Experiment]":
    """The experiments ``wanted``, or all of them when none is named."""
    return [load(name) for name in dict.fromkeys(wanted or names())]
