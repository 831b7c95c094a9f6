"""The hash of the sources that a result depends on, so that a stale table is recognised.

The hash covers the definitions that given functions and classes reach, each in its canonical form
(`banditlab.store.syntax`), with a reference to an own definition replaced by that definition's label. Names of
definitions and places of files do not count: a definition can move or be renamed. A reached class counts whole;
so does a module that is used as a value. Statements that act on import count with the module of a reached definition.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from banditlab.store.files import sha256_of_bytes
from banditlab.store.modules import Library, Module
from banditlab.store.syntax import Piece, Reference, canonical

VERSION = 2  # of the rule; it leads every hash, so that stamps of an older rule are known as such
# They keep what was computed, and compute none of it.
_KEEPERS = ("documents", "files", "modules", "provenance", "scopes", "shards", "sources", "stopping", "syntax")
WITHOUT_EFFECT = tuple(f"banditlab.store.{name}" for name in _KEEPERS)


def source_hash(*objects: FunctionType | type) -> str:
    """``VERSION:SHA-256`` over all that ``objects`` reach: functions or classes at the top level of their modules.

    Own definitions are those of `banditlab`, of `experiments`, of the objects' own packages, and of the files beside
    these. The answer is the same on every Python version and platform; the sources are those of the first call.

    Raises ValueError for an object that is not at the top level of a module with a source file.
    """
    roots: list[Reference] = []
    for item in objects:
        module, name = getattr(item, "__module__", None), getattr(item, "__qualname__", "").split(".")[0]
        if not module or getattr(sys.modules.get(module), "__file__", None) is None:
            raise ValueError(f"objects must come from modules with a source file; got {item!r}")
        roots.append(Reference(module, name))
    first = tuple(sorted({reference.module.split(".")[0] for reference in roots}))
    return _sources(first).hash(roots)


@functools.cache
def _sources(names: tuple[str, ...]) -> Sources:
    places: dict[str, list[Path]] = {}
    folders: list[Path] = []
    for name in dict.fromkeys(("banditlab", "experiments", *names)):
        module = sys.modules.get(name)
        if module is None:
            continue
        if path := getattr(module, "__path__", None):
            places[name] = [Path(item) for item in path]
        elif module.__file__:
            places[name] = [Path(module.__file__)]
            folders.append(Path(module.__file__).parent)
    return Sources(Library(places, folders))


@dataclass(frozen=True)
class _Shape:
    """A definition's canonical form with its references blanked, and these in order."""

    digest: str
    references: tuple[Reference, ...]


class Sources:
    """The reach and the hash of definitions in the modules of a `Library`; each definition is read once."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._shapes: dict[Reference, _Shape] = {}
        self._hashes: dict[tuple[Reference, ...], str] = {}

    def hash(self, roots: Iterable[Reference]) -> str:
        """``VERSION:SHA-256`` of everything that the ``roots`` reach.

        Labels start as the digests of the blanked forms. Then each label takes in the labels of its references, until
        no two definitions that differ share one; so the hash knows who uses what, in cycles too, and needs no names.
        """
        roots = tuple(roots)
        if roots in self._hashes:
            return self._hashes[roots]
        shapes = self.reach(roots)
        labels = {reference: shape.digest for reference, shape in shapes.items()}
        count = 0
        while len(set(labels.values())) > count:
            count = len(set(labels.values()))
            labels = {
                reference: _digest([shape.digest, *(labels.get(used, "") for used in shape.references)])
                for reference, shape in shapes.items()
            }
        parts = [*(labels[root] for root in roots), "all", *sorted(set(labels.values()))]
        self._hashes[roots] = f"{VERSION}:{_digest(parts)}"
        return self._hashes[roots]

    def reach(self, roots: Iterable[Reference]) -> Mapping[Reference, _Shape]:
        """Every definition that the ``roots`` use, directly or not, themselves included."""
        found: dict[Reference, _Shape] = {}
        pending = list(roots)
        while pending:
            reference = pending.pop()
            if reference in found or reference.module in WITHOUT_EFFECT:
                continue
            found[reference] = self._shape(reference)
            pending += found[reference].references
            if self._acts(reference.module):
                pending.append(Reference(reference.module, ""))
        return found

    def _acts(self, module: str) -> bool:
        found = self._library.module(module)
        return found is not None and bool(found.acting)

    def _shape(self, reference: Reference) -> _Shape:
        if reference not in self._shapes:
            module = self._library.module(reference.module)
            if module is None:
                raise ValueError(f"objects must come from modules with a source file; got module {reference.module!r}")
            pieces = self._whole(module) if reference.name == "*" else self._pieces(module, reference.name)
            used = tuple(piece for piece in pieces if isinstance(piece, Reference))
            blanked = [" " if isinstance(piece, Reference) else piece for piece in pieces]
            self._shapes[reference] = _Shape(_digest(blanked), used)
        return self._shapes[reference]

    def _whole(self, module: Module) -> list[Piece]:
        """All names of a module that is used as a value, and of a package what it hands on."""
        pieces: list[Piece] = []
        handed = module.imports if module.is_package else {}
        for name in sorted({*module.definitions, *handed}):
            found = Reference(module.name, name)
            if name not in module.definitions:
                found, _ = self._library.follow(f"{module.name}:", [name])
                # Modules from elsewhere are a package's tools, not what it offers.
                if found is None or (found.name == "*" and not found.module.startswith(f"{module.name}.")):
                    continue
            pieces += [f"{name}=", found]
        return pieces

    def _pieces(self, module: Module, name: str) -> list[Piece]:
        statements = module.definitions.get(name) if name else module.acting
        if statements is None:
            raise ValueError(f"objects must be at the top level of their modules; got {name!r} of {module.name!r}")

        def resolve(imported: str | None, names: list[str]) -> list[Piece]:
            if imported is not None:
                return self._resolved(imported, names)
            if names[0] in module.definitions:
                return [Reference(module.name, names[0]), _attributes(names[1:])]
            if names[0] in module.imports:
                return self._resolved(module.imports[names[0]], names[1:])
            for star in module.stars:
                found, left = self._library.follow(star, names)
                if found is not None and found.name != "*":
                    return [found, _attributes(left)]
            return [f"builtin:{'.'.join(names)};"]

        return [
            piece for statement in statements for piece in canonical(statement, name or None, module.package, resolve)
        ]

    def _resolved(self, imported: str, names: list[str]) -> list[Piece]:
        found, left = self._library.follow(imported, names)
        if found is None:
            return [f"outside:{'.'.join(left)};"]
        return [found, _attributes(left)]


def _attributes(names: list[str]) -> str:
    return "".join(f".{name}" for name in names) + ";"


def _digest(parts: Iterable[str]) -> str:
    return sha256_of_bytes("\0".join(parts).encode())
