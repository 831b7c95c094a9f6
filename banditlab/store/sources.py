"""The hash of the sources that a result depends on, so that a stale table is recognised.

From the functions and classes given, the walk follows every name of `banditlab` or `experiments` that they
use, module by module. The module of the first one counts only by the top-level statements the objects reach: an
experiment's check and plot can change without its numbers going stale. A package counts by the module that
holds the name used. Comments, docstrings and blank lines do not count, and nor does the Python version.
"""

import ast
import importlib.util
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from banditlab.store.files import sha256_of_bytes

PACKAGES = ("banditlab", "experiments")
# They draw or test results; no number in a table comes from them.
WITHOUT_EFFECT = ("banditlab.plotting", "banditlab.testing")


def source_hash(*objects: object) -> str:
    """SHA-256 over the sources that ``objects`` (top-level functions or classes, one or more) depend on."""
    texts = source_texts(*objects)
    return sha256_of_bytes("\0".join(f"{name}\n{text}" for name, text in sorted(texts.items())).encode())


def source_texts(*objects: object) -> dict[str, str]:
    """Module name -> the part of its source that counts, for the transitive closure of ``objects``."""
    starting = getattr(objects[0], "__module__", "")
    names = {getattr(item, "__qualname__", "") for item in objects if getattr(item, "__module__", "") == starting}
    texts: dict[str, str] = {}
    pending: list[tuple[str, set[str] | None]] = [(starting, names)]
    pending += [(item.__module__, None) for item in objects if item.__module__ != starting]
    while pending:
        module, names = pending.pop()
        if module not in texts and module not in WITHOUT_EFFECT:
            tree, lines = _read(module)
            body = tree.body if names is None else _reached(tree, names)
            texts[module] = "\n".join(line for node in body for line in _span(node, lines) if line)
            pending += [(used, None) for used in _uses(module, tree, body)]
    return texts


@cache
def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # the parent is a module, not a package
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _is_package(module: str) -> bool:
    path = _file(module)
    return path is not None and path.name == "__init__.py"


def _read(module: str) -> tuple[ast.Module, list[str]]:
    """The syntax tree, and the lines with comments and docstrings blanked (line numbers are kept)."""
    path = _file(module)
    if path is None:
        raise ValueError(f"objects must come from modules with a source file; got module {module!r}")
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            alone = not lines[node.lineno - 1][: node.col_offset].strip()
            if alone and isinstance(node.value.value, str):
                lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return tree, [line.rstrip() for line in lines]


def _span(node: ast.stmt, lines: list[str]) -> list[str]:
    decorators = getattr(node, "decorator_list", [])
    return lines[min([node.lineno, *(item.lineno for item in decorators)]) - 1 : node.end_lineno]


def _defines(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {item.asname or item.name.split(".")[0] for item in node.names}
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _reached(tree: ast.Module, names: set[str]) -> list[ast.stmt]:
    """The top-level statements defining ``names`` and whatever those use in turn; all if one is unknown."""
    if not names <= set().union(*(_defines(node) for node in tree.body)):
        return tree.body
    wanted, reached = set(names), set()
    while True:
        new = [node for node in tree.body if node not in reached and _defines(node) & wanted]
        if not new:
            return [node for node in tree.body if node in reached]
        reached.update(new)
        wanted |= {part.id for node in new for part in ast.walk(node) if isinstance(part, ast.Name)}


def _imported(module: str, tree: ast.Module) -> dict[str, list[str]]:
    """Local name -> dotted path in our packages, for every import anywhere in the module."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                parts = item.name.split(".")
                found[item.asname or parts[0]] = parts if item.asname else parts[:1]
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")
            keep = len(package) - node.level + _is_package(module)
            base = (package[:keep] if node.level else []) + (node.module.split(".") if node.module else [])
            found |= {item.asname or item.name: [*base, item.name] for item in node.names}
    return {name: parts for name, parts in found.items() if parts[0] in PACKAGES}


def _uses(module: str, tree: ast.Module, body: list[ast.stmt]) -> Iterator[str]:
    imported = _imported(module, tree)
    if _is_package(module):  # its imports are re-exports: all count when the package as a whole is used
        yield from (_home(parts) for parts in imported.values())
    for node in body:
        for chain in _chains(node):
            if chain[0] in imported:
                yield _home([*imported[chain[0]], *chain[1:]])


def _chains(node: ast.AST) -> Iterator[list[str]]:
    """Every dotted name used under ``node``, each at its longest: ``bl.designs.triple`` once, not thrice."""
    attributes: list[str] = []
    base = node
    while isinstance(base, ast.Attribute):
        attributes.append(base.attr)
        base = base.value
    if isinstance(base, ast.Name):
        yield [base.id, *reversed(attributes)]
    else:
        for child in ast.iter_child_nodes(base):
            yield from _chains(child)


def _home(parts: list[str]) -> str:
    """The module that holds the dotted name: through packages, by submodule first, then by re-export."""
    module, rest = parts[0], parts[1:]
    while rest and _is_package(module):
        if _file(f"{module}.{rest[0]}") is not None:
            module, rest = f"{module}.{rest[0]}", rest[1:]
            continue
        exported = _imported(module, _read(module)[0]).get(rest[0])
        return _home([*exported, *rest[1:]]) if exported else module
    return module
