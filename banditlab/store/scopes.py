"""Which names a piece of syntax binds, and which variables only its messages read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Scope:
    """Names bound in a function, class or comprehension; imported ones with where they come from."""

    bound: set[str] = field(default_factory=set)
    imports: dict[str, str] = field(default_factory=dict)
    is_class: bool = False


def import_targets(node: ast.Import | ast.ImportFrom, package: list[str]) -> Iterator[tuple[str, str]]:
    """(local name, "module:" or "module:name") of every name that the statement binds.

    ``package`` is where "." points to. ``from a import b`` gives "a:b", whether b is a module or not.
    """
    if isinstance(node, ast.Import):
        for item in node.names:
            yield (item.asname, f"{item.name}:") if item.asname else (first := item.name.split(".")[0], f"{first}:")
        return
    base = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*base, *(node.module.split(".") if node.module else [])])
    for item in node.names:
        yield item.asname or item.name, f"{module}:{item.name}"


def own_nodes(body: list) -> Iterator[ast.AST]:
    """Every node under ``body`` that runs in its scope; of nested functions, classes and comprehensions the head."""
    pending = list(body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, COMPREHENSIONS):
            pending += [part for part in ast.walk(node) if isinstance(part, ast.NamedExpr)]
            continue
        pending += ast.iter_child_nodes(node)


def scope_of(body: list, package: list[str]) -> Scope:
    """The names that ``body`` binds."""
    scope, declared = Scope(), set()
    for node in own_nodes(body):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            scope.bound.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            scope.bound.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            scope.imports |= dict(import_targets(node, package))
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            scope.bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            scope.bound.add(node.rest)
        elif isinstance(node, ast.Global):
            declared |= set(node.names)
    scope.bound -= declared
    return scope


def only_in_words(body: list) -> set[str]:
    """Variables that are read, and only in the words of `raise` and `assert`."""
    words: set[int] = set()
    for statement in body:
        for node in ast.walk(statement):
            text = node.exc if isinstance(node, ast.Raise) else node.msg if isinstance(node, ast.Assert) else None
            if isinstance(node, ast.Raise) and isinstance(text, ast.Call):
                parts: list[ast.AST] = [*text.args, *text.keywords]
            else:
                parts = [text] if isinstance(node, ast.Assert) and text is not None else []
            words |= {id(part) for item in parts for part in ast.walk(item)}
    inside, outside = set(), set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                (inside if id(node) in words else outside).add(node.id)
    return inside - outside
