"""The claims there are, by name and family; a module is imported only when its claim is wanted."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from banditlab.claims.experiment import Experiment
from banditlab.errors import CommandLineError, unknown

GROUP = "banditlab.claims"


@dataclass(frozen=True)
class Collection:
    """The claims of one package; other packages offer theirs as entry points of the group ``banditlab.claims``.

    Attributes:
      package: every claim is the EXPERIMENT of the module ``package.family.name``.
      families: family -> names, in the order in which they are listed and run.
    """

    package: str
    families: Mapping[str, tuple[str, ...]]


_registered: list[Collection] = []


def register(collection: Collection) -> None:
    """Add a collection for this process; adding it again is harmless."""
    if collection not in _registered:
        _registered.append(collection)


def checkout() -> Path | None:
    """The folder of the repository that this package is imported from; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "experiments" / "__init__.py").is_file() else None


def collections() -> list[Collection]:
    """Those registered in this process, the checkout's own, and those of installed packages.

    Raises CommandLineError for an entry point that cannot be loaded, naming it.
    """
    found = list(_registered)
    if not found and checkout() is not None:
        found.append(importlib.import_module("experiments.claims").CLAIMS)
    for entry in entry_points(group=GROUP):
        try:
            offered = entry.load()
        except Exception as error:
            raise CommandLineError(f"the entry point {entry.name} = {entry.value} cannot be loaded: {error}") from error
        found += [] if offered in found else [offered]
    return found


def families() -> dict[str, tuple[str, ...]]:
    """Family -> names of its claims, in the order in which they are listed, run and verified."""
    merged: dict[str, tuple[str, ...]] = {}
    for collection in collections():
        for family, names in collection.families.items():
            merged[family] = (*merged.get(family, ()), *names)
    return merged


def names() -> tuple[str, ...]:
    """Names of all registered claims."""
    return tuple(name for members in families().values() for name in members)


def load(name: str) -> Experiment:
    """The registered claim called ``name``; CommandLineError when there is none."""
    for collection in collections():
        for family, members in collection.families.items():
            if name in members:
                return _experiment(f"{collection.package}.{family}.{name}", name, family)
    hint = f"; there is a file '{name}.py'" if _is_file(f"{name}.py") else _HINT
    raise CommandLineError(unknown("NAME", name, (*names(), *families()), hint))


def load_all(wanted: Sequence[str] = ()) -> list[Experiment]:
    """The claims ``wanted``, each a name, a family, a file or a module, in that order of resolution; all by default."""
    found: dict[str, Experiment] = {}
    for word in wanted or names():
        for experiment in _resolved(word):
            found.setdefault(experiment.name, experiment)
    return list(found.values())


def _resolved(word: str) -> list[Experiment]:
    if word in names():
        return [load(word)]
    if word in families():
        return [load(name) for name in families()[word]]
    if word.endswith(".py") or _is_file(word):
        return [from_file(Path(word))]
    try:
        known = "." in word and importlib.util.find_spec(word) is not None
    except (ImportError, ValueError):
        known = False
    return [_experiment(word)] if known else [load(word)]


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # no file has so long a name
        return False


def from_file(path: Path) -> Experiment:
    """The EXPERIMENT that a file defines; its neighbours can be imported by it.

    Raises CommandLineError when there is no such file, it does not load, or has no EXPERIMENT.
    """
    path = path.resolve()
    if not path.is_file():
        raise CommandLineError(f"NAME must be a claim, a family, a file or a module; there is no file '{path}'")
    name = path.stem
    there = sys.modules.get(name)
    if there is not None and Path(str(getattr(there, "__file__", ""))).resolve() != path:
        raise CommandLineError(f"NAME '{path}' has the name of the module {name}, which is in use: rename the file")
    if there is None:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not name.isidentifier():
            raise CommandLineError(f"NAME must be a Python file with the name of a module; got '{path}'")
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except Exception as error:
            del sys.modules[name]
            raise CommandLineError(f"NAME '{path}' cannot be loaded: {type(error).__name__}: {error}") from error
    return _experiment(name)


def _experiment(module: str, name: str = "", family: str = "") -> Experiment:
    experiment = getattr(importlib.import_module(module), "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise CommandLineError(f"NAME {module} must define EXPERIMENT = banditlab.claims.Experiment(...)")
    if name and (experiment.name, experiment.family) != (name, family):
        got = f"{experiment.family}.{experiment.name}"
        raise ValueError(f"name and family must be those of its module, {family}.{name}; got {got}")
    return experiment


_HINT = " (`list` shows all)"
