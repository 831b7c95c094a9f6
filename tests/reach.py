"""Which definitions a run enters, and which the source hash covers: two ways to the same set, for tests."""

import ast
import contextlib
import inspect
import sys
import threading
from functools import cache
from pathlib import Path

import jax

import banditlab
import experiments
from banditlab import law_checks, validation
from banditlab.store.modules import Library
from banditlab.store.sources import WITHOUT_EFFECT, Sources
from banditlab.store.syntax import Reference

REFUSING = {checks.__name__: checks for checks in (validation, law_checks)}
ROOTS = {"banditlab": [Path(banditlab.__file__).parent], "experiments": [Path(experiments.__file__).parent]}
# The framework calls `run`; what it does itself makes no number. Statistics and instances are called by experiments.
AROUND = ("banditlab.claims.", "banditlab.command.", "banditlab.errors", "banditlab.terminal")
CALLED = ("banditlab.claims.statistics", "banditlab.claims.instances", "banditlab.claims.side_by_side")


def roots(experiment):
    """Where the hash of an experiment starts."""
    return [Reference(item.__module__, item.__qualname__) for item in (experiment.run, experiment.config_type)]


@cache
def sources():
    return Sources(Library(ROOTS))


def altered(module, text):
    """The sources with another text of one module; what was read of the others is kept."""
    known = sources()
    library = Library(ROOTS, texts={known._library.find(module): text})
    library._modules = {name: value for name, value in known._library._modules.items() if name != module}
    changed = Sources(library)
    changed._shapes = {reference: shape for reference, shape in known._shapes.items() if reference.module != module}
    return changed


@contextlib.contextmanager
def recorded():
    """The (file, first line) of every function and method that is entered, in whichever thread; compiled ones anew."""
    jax.clear_caches()
    entered = set()

    def hook(frame, event, _):
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        yield entered
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def uncovered(entered, experiments_run):
    """Entered functions of banditlab and experiments that the hashes of the experiments do not cover."""
    reached = set()
    for experiment in experiments_run:
        reached |= set(sources().reach(roots(experiment)))
    lacking = set()
    for file, line in entered:
        module = _module(file)
        around = module and module.startswith(AROUND) and module not in CALLED
        if module and not around and module not in WITHOUT_EFFECT:
            names = _names(file, line)
            if module in REFUSING and all(_refuses(REFUSING[module], name) for name in names):
                continue
            if not any(Reference(module, name) in reached for name in names):
                lacking.add((module, *sorted(names)))
    return lacking


def _refuses(module, name):
    """Whether a function of `module` returns nothing, or helps one that does: it changes no number."""
    refusing = [
        one
        for checks in REFUSING.values()
        for one in (getattr(checks, other) for other in checks.__all__)
        if inspect.signature(one).return_annotation in (None, "None")
    ]
    return getattr(module, name, None) in refusing or any(f"{name}(" in inspect.getsource(one) for one in refusing)


@cache
def _module(file):
    for package, (folder,) in ROOTS.items():
        path = Path(file)
        if path.is_relative_to(folder):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return None


@cache
def _names(file, line):
    """What the top-level statement at this line defines; "" for one that acts on import; none for the module itself."""
    body = ast.parse(Path(file).read_text()).body
    defined = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in body:
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
        if first <= line <= node.end_lineno:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                # One that a decorator of the module's own registers counts among what acts on import.
                takers = {ast.unparse(item).split(".")[0].split("(")[0] for item in node.decorator_list}
                return frozenset({node.name, *({""} if takers & defined else ())})
            stored = {
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
            return frozenset(stored or {""})
    return frozenset({""})
