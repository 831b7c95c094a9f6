"""Modules as texts: where they lie, what each top-level name is, and which statements act on import.

Nothing is imported, so that the sources of any folder can be read: this one, a copy, a user's own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from banditlab.store.scopes import FUNCTIONS, import_targets, own_nodes
from banditlab.store.syntax import Reference, is_type_checking, is_words

# Names of a module that say how it is offered, not what it computes.
_SIGNS = {"__all__", "__dir__", "__version__"}
_COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try)


@dataclass
class Module:
    """The top level of one file.

    Attributes:
      imports: local name -> "module:" or "module:name". stars: "module:" of those imported by ``*``.
      definitions: name -> the statements that bind it, in their order.
      acting: statements that do something when the module is imported: registrations, also those by a decorator of the
        module's own, dictionaries that are filled.
    """

    name: str
    package: list[str]
    is_package: bool
    imports: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    acting: list[ast.stmt] = field(default_factory=list)


class Library:
    """The modules below some roots, read when asked for and kept.

    Args:
      roots: top-level name -> where its files are: the folders of a package, or the file of a module.
      folders: any module or package found directly in one of these is a root too (the neighbours of a user's file).
      texts: texts to read in place of files, to ask what a change would make stale.
    """

    def __init__(
        self,
        roots: Mapping[str, Sequence[Path]],
        folders: Sequence[Path] = (),
        texts: Mapping[Path, str] | None = None,
    ) -> None:
        self._roots = dict(roots)
        self._folders = list(folders)
        self._texts = dict(texts or {})
        self._modules: dict[str, Module | None] = {}

    def find(self, name: str) -> Path | None:
        """The file of the module ``name``; None when there is none below the roots."""
        first, *rest = name.split(".")
        for place in self._places(first):
            if place.suffix == ".py":
                if not rest and place.is_file():
                    return place
                continue
            for path in (place.joinpath(*rest, "__init__.py"), place.joinpath(*rest).with_suffix(".py")):
                if path.is_file() and (rest or path.name == "__init__.py"):
                    return path
        return None

    def _places(self, first: str) -> Sequence[Path]:
        if first in self._roots:
            return self._roots[first]
        return [folder / f"{first}{suffix}" for suffix in ("", ".py") for folder in self._folders]

    def _is_folder(self, name: str) -> bool:
        first, *rest = name.split(".")
        return any(place.suffix != ".py" and place.joinpath(*rest).is_dir() for place in self._places(first))

    def module(self, name: str) -> Module | None:
        """The module ``name``, parsed; None when it is not below the roots. SyntaxError when it does not parse."""
        if name not in self._modules:
            path = self.find(name)
            if path is None:  # a folder without __init__.py is a package all the same
                folder = self._is_folder(name)
                self._modules[name] = Module(name, name.split("."), is_package=True) if folder else None
            else:
                self._modules[name] = _parse(name, path, self._texts.get(path) or path.read_text(encoding="utf-8"))
        return self._modules[name]

    def follow(self, imported: str, rest: Sequence[str]) -> tuple[Reference | None, list[str]]:
        """The definition that an import and attributes after it lead to, and the attributes left over.

        ``imported`` is "module:" or "module:name". A name that a package binds comes before a module of that name. A
        module that is asked for no name, or for one that it computes, counts whole. None, with the whole path, for what
        lies outside the roots.
        """
        name, _, first = imported.partition(":")
        left = [first, *rest] if first else list(rest)
        seen: set[str] = set()
        while (module := self.module(name)) is not None:
            if not left:
                return Reference(name, "*"), []
            if left[0] in module.definitions:
                return Reference(name, left[0]), left[1:]
            target = module.imports.get(left[0])
            if target not in (None, f"{name}:{left[0]}") and f"{name}:{left[0]}" not in seen:
                seen.add(f"{name}:{left[0]}")
                name, _, first = target.partition(":")
                left = [first, *left[1:]] if first else left[1:]
            elif module.is_package and self.module(f"{name}.{left[0]}") is not None:
                name, left = f"{name}.{left[0]}", left[1:]
            else:
                found = (self.follow(star, left) for star in module.stars)
                named = [(reference, after) for reference, after in found if reference and reference.name != "*"]
                return named[0] if named else (Reference(name, "*"), left)
        return None, [name, *left]


def _parse(name: str, path: Path, text: str) -> Module:
    is_package = path.name == "__init__.py"
    package = name.split(".") if is_package else name.split(".")[:-1]
    module = Module(name, package, is_package)
    for statement in ast.parse(text).body:
        if is_words(statement) or is_type_checking(statement) or _is_main(statement):
            continue
        compound = isinstance(statement, _COMPOUND)
        bound = dict.fromkeys(_bound(statement, module))
        for item in bound:
            if item not in _SIGNS:
                module.definitions.setdefault(item, []).append(statement)
        only_binds = bound or isinstance(statement, (ast.Import, ast.ImportFrom))
        if compound or not only_binds or _registers(statement, module):
            module.acting.append(statement)
    return module


def _registers(statement: ast.stmt, module: Module) -> bool:
    """Whether a decorator of the module's own gets hold of a definition: ``@draw.def_vmap``, ``@register``."""
    bases = []
    for decorator in getattr(statement, "decorator_list", []):
        base = decorator
        while isinstance(base, (ast.Attribute, ast.Call)):
            base = base.func if isinstance(base, ast.Call) else base.value
        bases.append(base.id if isinstance(base, ast.Name) else "")
    return any(base in module.definitions for base in bases)


def _bound(statement: ast.stmt, module: Module) -> Iterator[str]:
    """Names that a top-level statement defines; what it imports goes into ``module``."""
    for node in own_nodes([statement]):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for local, target in import_targets(node, module.package):
                if local == "*":
                    module.stars.append(target.removesuffix("*"))
                else:
                    module.imports[local] = target
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _is_main(statement: ast.stmt) -> bool:
    test = statement.test if isinstance(statement, ast.If) else None
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
