"""Attributes of a package that are imported when they are first asked for, and what its completion lists."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType


def attributes(
    package: str, eager: Sequence[str], *, shown: Sequence[str], moved: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], ModuleType], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
      package: its name.
      eager: what it has imported by itself, and lists.
      shown: modules of the package that it lists, and imports when they are asked for.
      moved: module -> the part of the package that it lies in now, "" for the package itself; reachable, not listed.
    """
    places = {**dict.fromkeys(shown, ""), **moved}

    def named(name: str) -> ModuleType:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(".".join(part for part in (package, places[name], name) if part))

    def listed() -> list[str]:
        return sorted({*eager, *shown, *(["__version__"] if "." not in package else [])})

    return named, listed
