"""The canonical form of a definition: its syntax tree without whatever cannot change a number.

Left out are docstrings, annotations, type-checking blocks, imports, the names of the definition itself, the words
of `raise` and of `assert`, and local variables that only such words read. A name that leads out of the definition
is handed to a resolver. The form is the same on every Python version.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from banditlab.store.scopes import Scope, only_in_words, scope_of

# Fields of syntax nodes without effect on a value; `type_params` exists since Python 3.12 only.
_SILENT = {"annotation", "returns", "type_comment", "kind", "ctx", "type_params"}
_NAMES_ONLY = {"__name__", "__qualname__", "__doc__", "__module__"}


@dataclass(frozen=True)
class Reference:
    """A definition that another one uses: ``name`` at the top level of ``module``; "*" is the whole module."""

    module: str
    name: str


Piece = str | Reference
# (what an import inside the definition bound, or None; the names that follow) -> pieces
Resolver = Callable[[str | None, list[str]], list[Piece]]


def is_type_checking(node: ast.stmt) -> bool:
    """Whether the statement is ``if TYPE_CHECKING:``, of either spelling."""
    test = node.test if isinstance(node, ast.If) else None
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def is_words(node: ast.stmt) -> bool:
    """Whether the statement is a docstring, another bare constant, or ``pass``."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def canonical(statement: ast.stmt, name: str | None, package: list[str], resolve: Resolver) -> list[Piece]:
    """The pieces of a top-level ``statement`` as the definition of ``name``; None for one that only acts."""
    return _Walk(name, package, resolve).of(statement)


class _Walk:
    def __init__(self, name: str | None, package: list[str], resolve: Resolver) -> None:
        self.name, self.package, self.resolve = name, package, resolve
        self.scopes: list[Scope] = []
        self.unread: list[set[str]] = []  # per function: variables that only messages read

    def of(self, node: object) -> list[Piece]:
        """The pieces of a node, a list of nodes, or a plain value."""
        if isinstance(node, list):
            return ["[", *(piece for item in node if not self._skipped(item) for piece in self.of(item)), "]"]
        if not isinstance(node, ast.AST):
            return [f"{type(node).__name__}:{node!r};"]
        special = getattr(self, f"_{type(node).__name__}", None)
        return special(node) if special else self._plain(node)

    def _plain(self, node: ast.AST, without: tuple[str, ...] = ()) -> list[Piece]:
        pieces: list[Piece] = [f"{type(node).__name__}("]
        for label, value in ast.iter_fields(node):
            if label in _SILENT or label in without or value is None or value == []:
                continue
            pieces += [f"{label}=", *self.of(value)]
        return [*pieces, ")"]

    def _skipped(self, node: object) -> bool:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return True
        if not isinstance(node, ast.stmt):
            return False
        if isinstance(node, ast.Assign):
            targets = [part for target in node.targets for part in getattr(target, "elts", [target])]
            if all(isinstance(part, ast.Attribute) and part.attr in _NAMES_ONLY for part in targets):
                return True
            unread = self.unread[-1] if self.unread else set()
            return all(isinstance(part, ast.Name) and part.id in unread for part in targets)
        unset = isinstance(node, ast.AnnAssign) and node.value is None
        return is_words(node) or is_type_checking(node) or (unset and not (self.scopes and self.scopes[-1].is_class))

    def _Raise(self, node: ast.Raise) -> list[Piece]:
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ["Raise(", *self.of(kind), ")"]

    def _Assert(self, node: ast.Assert) -> list[Piece]:
        return ["Assert(", *self.of(node.test), ")"]

    def _Constant(self, node: ast.Constant) -> list[Piece]:
        return [f"{type(node.value).__name__}:{node.value!r};"]

    def _JoinedStr(self, node: ast.JoinedStr) -> list[Piece]:
        # How neighbouring texts are split, and whether empty ones are kept, depends on the Python version.
        pieces, text = [], ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
                continue
            pieces += [f"str:{text!r};", *self.of(part)]
            text = ""
        return ["JoinedStr(", *pieces, f"str:{text!r};)"]

    def _AnnAssign(self, node: ast.AnnAssign) -> list[Piece]:
        # Of an annotation only what a dataclass reads of it counts.
        words = {part.id for part in ast.walk(node.annotation) if isinstance(part, ast.Name)}
        words |= {part.attr for part in ast.walk(node.annotation) if isinstance(part, ast.Attribute)}
        kind = sorted(words & {"ClassVar", "InitVar", "KW_ONLY"})
        value = [] if node.value is None else self.of(node.value)
        return ["Assign(", *self.of(node.target), *kind, *value, ")"]

    def _Assign(self, node: ast.Assign) -> list[Piece]:
        targets = [piece for target in node.targets for piece in self.of(target)]
        return ["Assign(", *targets, *self.of(node.value), ")"]

    def _Name(self, node: ast.Name) -> list[Piece]:
        return self._chain([node.id])

    def _Attribute(self, node: ast.Attribute) -> list[Piece]:
        attributes, base = [node.attr], node.value
        while isinstance(base, ast.Attribute):
            attributes.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            return self._chain([base.id, *reversed(attributes)])
        return ["Attribute(", *self.of(base), *(f".{name}" for name in reversed(attributes)), ")"]

    def _chain(self, names: list[str]) -> list[Piece]:
        rest = "".join(f".{name}" for name in names[1:])
        if not self.scopes and names[0] == self.name:
            return [f"self{rest};"]
        for place, scope in enumerate(reversed(self.scopes)):
            if scope.is_class and place:
                continue
            if names[0] in scope.imports:
                return self.resolve(scope.imports[names[0]], names[1:])
            if names[0] in scope.bound:
                return [f"local:{names[0]}{rest};"]
        return self.resolve(None, names)

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Piece]:
        name = node.name if self.scopes else ""
        outer = [*self.of(node.decorator_list), *self.of(node.args.defaults), *self.of(node.args.kw_defaults)]
        return [f"{type(node).__name__}:{name}(", *outer, *self._function(node.args, node.body), ")"]

    _AsyncFunctionDef = _FunctionDef

    def _Lambda(self, node: ast.Lambda) -> list[Piece]:
        outer = [*self.of(node.args.defaults), *self.of(node.args.kw_defaults)]
        return ["Lambda(", *outer, *self._function(node.args, [node.body]), ")"]

    def _function(self, args: ast.arguments, body: list) -> list[Piece]:
        groups = (args.posonlyargs, args.args, [args.vararg], args.kwonlyargs, [args.kwarg])
        names = [[item.arg for item in group if item is not None] for group in groups]
        scope = scope_of(body, self.package)
        scope.bound |= {name for group in names for name in group}
        self.scopes.append(scope)
        self.unread.append(only_in_words(body))
        pieces = [f"{names!r}", *self.of(body)]
        self.unread.pop()
        self.scopes.pop()
        return pieces

    def _ClassDef(self, node: ast.ClassDef) -> list[Piece]:
        name = node.name if self.scopes else ""
        outer = [*self.of(node.decorator_list), *self.of(node.bases), *self.of(node.keywords)]
        scope = scope_of(node.body, self.package)
        scope.is_class = True
        self.scopes.append(scope)
        body = self.of(node.body)
        self.scopes.pop()
        return [f"ClassDef:{name}(", *outer, *body, ")"]

    def _comprehension(self, node: ast.expr) -> list[Piece]:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        first = self.of(generators[0].iter)  # evaluated outside the comprehension's own scope
        bound = {part.id for one in generators for part in ast.walk(one.target) if isinstance(part, ast.Name)}
        self.scopes.append(Scope(bound))
        results = [self.of(getattr(node, label)) for label in ("key", "elt", "value") if hasattr(node, label)]
        parts = [self._plain(one, without=("iter",) if one is generators[0] else ()) for one in generators]
        self.scopes.pop()
        return [f"{type(node).__name__}(", *first, *(piece for part in results + parts for piece in part), ")"]

    _ListComp = _SetComp = _DictComp = _GeneratorExp = _comprehension
