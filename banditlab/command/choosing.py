"""From the words of a command line to claims and their configurations."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from banditlab.command.arguments import settings
from banditlab.errors import CommandLineError

if TYPE_CHECKING:
    from banditlab.claims.experiment import Experiment
    from banditlab.claims.selection import Selection

NONE = "no claims are registered; `banditlab run FILE.py` runs a claim of your own (docs/example_claim.py is one)"


def selections(names: Iterable[str], preset: str, sets: Iterable[str], output: Path | None) -> list[Selection]:
    """What the words select; CommandLineError for a field that one of the claims does not have."""
    from banditlab.claims.selection import select

    fields, names = settings(tuple(sets)), tuple(names)
    if fields and not names:
        raise CommandLineError(f"--set {next(iter(fields))} must come with the NAME of a claim that has such a field")
    experiments = load(names)
    if not experiments:
        raise CommandLineError(NONE)
    found = []
    for experiment in experiments:
        try:
            found.append(select(experiment, preset, fields, output))
        except ValueError as error:
            of = f"{experiment.name}: " if len(experiments) > 1 else ""
            raise CommandLineError(f"{of}{error}") from error
    return found


def load(names: tuple[str, ...]) -> list[Experiment]:
    """The claims named, or all registered ones, with the process's settings made first."""
    from banditlab.claims import registry

    folder = registry.checkout()
    foreign = any(name.endswith(".py") for name in names)
    configure(folder / ".jax_cache" if folder and not foreign else None)
    return registry.load_all(names)


def configure(cache: Path | None = None) -> None:
    """The process's settings; CommandLineError for an environment variable that makes no sense."""
    from banditlab.claims.jax_settings import configure as set_all

    try:
        set_all(cache)
    except ValueError as error:
        raise CommandLineError(str(error)) from error
