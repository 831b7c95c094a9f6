"""Nothing is stale without cause, and nothing that changed is current: on a copy of the whole tree."""

import ast
import re
import shutil

import pytest
from reach import ROOTS, altered, roots, sources

from banditlab.claims import registry
from banditlab.store.modules import Library
from banditlab.store.sources import Sources
from banditlab.store.syntax import Reference

EXPERIMENTS = {experiment.name: experiment for experiment in registry.load_all()}


def hashes(places):
    found = Sources(Library(places))
    return {name: found.hash(roots(experiment)) for name, experiment in EXPERIMENTS.items()}


# Its only number shortens what a message quotes.
SILENT = [Reference("banditlab.validation", "numbers")]


@pytest.fixture(scope="module")
def before():
    return {name: sources().hash(roots(experiment)) for name, experiment in EXPERIMENTS.items()}


@pytest.fixture
def tree(tmp_path):
    for package, (folder,) in ROOTS.items():
        shutil.copytree(folder, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return {package: [tmp_path / package] for package in ROOTS}


def edit(path, pattern, replacement):
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count, (path, pattern)
    path.write_text(text)


def insert(path, function, statement):
    """Put a statement first in the body of a top-level function."""
    lines = path.read_text().split("\n")
    (node,) = [node for node in ast.parse("\n".join(lines)).body if getattr(node, "name", None) == function]
    first = node.body[0]
    lines.insert(first.lineno - 1, " " * first.col_offset + statement)
    path.write_text("\n".join(lines))


def test_moves_renames_messages_comments_figures_and_checks_leave_every_hash_alone(tree, before):
    (library,), (claims,) = tree["banditlab"], tree["experiments"]

    def files():
        return [path for folder in (library, claims) for path in folder.rglob("*.py")]

    # A module moves, and all who import it follow.
    (library / "moved").mkdir()
    (library / "moved" / "__init__.py").touch()
    (library / "numerics" / "linalg.py").rename(library / "moved" / "algebra.py")
    for path in files():
        text = path.read_text().replace("from banditlab.numerics.linalg import", "from banditlab.moved.algebra import")
        found = re.search(r"^from banditlab.numerics import (.*)$", text, flags=re.MULTILINE)
        names = found[1].split(", ") if found else []
        if "linalg" in names:
            others = ", ".join(name for name in names if name != "linalg")
            lines = "from banditlab.moved import algebra as linalg" + (
                f"\nfrom banditlab.numerics import {others}" if others else ""
            )
            text = text.replace(found[0], lines)
        path.write_text(text)
    # Functions are renamed, one of them with its users.
    edit(library / "environment_arrays.py", r"\b_log_probs\b", "_normalised_logarithms")
    for file in ("prices.py", "__init__.py"):
        edit(library / "theory" / file, r"\blabel_price\b", "price_of_labels")
    for path in files():
        path.write_text(re.sub(r"\b(theory|prices)\.label_price\b", r"\1.price_of_labels", path.read_text()))
    # A message changes, and every file gets a comment.
    edit(library / "law_checks.py", r"must hold log-probabilities", "has to hold log-probabilities")
    for path in files():
        path.write_text(path.read_text() + "\n\n# a comment\n")
    # So does every figure, and every check.
    drawn = {getattr(part, "func", part) for one in EXPERIMENTS.values() for part in (one.plot, one.check)}
    for function in drawn:
        path = claims.joinpath(*function.__module__.split(".")[1:]).with_suffix(".py")
        insert(path, function.__name__, "_edited = 0.5")
    assert hashes(tree) == before


def test_a_number_in_any_reached_definition_counts():
    known = sources()
    reached = {reference for one in EXPERIMENTS.values() for reference in known.reach(roots(one))}
    counted, silent = 0, []
    for reference in sorted(reached, key=str):
        path = known._library.find(reference.module)
        texts = list(with_another_number(path.read_text(), reference.name))
        changed = (altered(reference.module, text)._shape(reference) for text in texts)
        if texts and all(shape == known._shape(reference) for shape in changed):
            silent.append(reference)
        counted += bool(texts)
    assert counted > 200
    assert silent == SILENT


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_hash_of_an_experiment_follows_what_it_reaches(name, before):
    """A number in the definition whose digest comes first: nobody chose it."""
    known = sources()
    reached = known.reach(roots(EXPERIMENTS[name]))
    for reference in sorted(reached.keys() - set(SILENT), key=lambda reference: reached[reference].digest):
        path = known._library.find(reference.module)
        for text in with_another_number(path.read_text(), reference.name):
            changed = altered(reference.module, text)
            assert changed.hash(roots(EXPERIMENTS[name])) != before[name], reference
            return
    raise AssertionError("no reached definition holds a number")


def with_another_number(text, name):
    """The text with one number changed in the definition of ``name``, for each number outside messages and notes."""
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            silent = set()
            for part in ast.walk(node):
                words = [getattr(part, field, None) for field in ("exc", "msg", "annotation", "returns")]
                words += [part] if isinstance(part, ast.JoinedStr) else []
                silent |= {id(below) for item in words if item for below in ast.walk(item)}
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and type(part.value) in (int, float) and id(part) not in silent:
                    lines = text.split("\n")
                    line = lines[part.lineno - 1].encode()
                    changed = line[: part.col_offset] + repr(part.value + 1).encode() + line[part.end_col_offset :]
                    lines[part.lineno - 1] = changed.decode()
                    yield "\n".join(lines)


def test_a_changed_definition_makes_those_stale_that_reach_it_and_no_others(tree, before):
    (library,) = tree["banditlab"]
    insert(library / "theory" / "prices.py", "label_price", "env = env.replace(beta=2.0)")
    reference = Reference("banditlab.theory.prices", "label_price")
    reaching = {name for name, one in EXPERIMENTS.items() if reference in sources().reach(roots(one))}
    after = hashes(tree)
    assert {name for name in before if before[name] != after[name]} == reaching
    assert 0 < len(reaching) < len(EXPERIMENTS)
