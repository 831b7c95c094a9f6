"""Inside experiments: family -> shared -> claims, no circle, and every file where the experiment that it serves is."""

import ast
import pathlib
import statistics

import pytest

from banditlab.claims import registry

ROOT = pathlib.Path(__file__).parents[1] / "experiments"
ROLES = {"experiment", "runs", "checks", "figure", "laws"}
FAMILIES = registry.families()


def dotted(path):
    parts = ("experiments", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TEXTS = {dotted(path): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(text) for name, text in TEXTS.items()}


def statements(tree):
    """Every import that runs; those for type checkers do not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        yield from statements(node)


def imports(name):
    """The modules of experiments that a module imports."""
    found = set()
    for node in statements(TREES[name]):
        named = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            named = [node.module, *(f"{node.module}.{alias}" for alias in named)]
        found |= {item for item in named if item in TREES and item.startswith("experiments.")}
    # `from package import part` is an import of the part.
    return {item for item in found if not any(other.startswith(f"{item}.") for other in found)}


def experiment_of(name):
    """(family, experiment) that a module belongs to; None for shared ones and faces."""
    parts = name.split(".")
    if len(parts) < 3 or "shared" in parts[1:3]:
        return None
    return parts[1], parts[2]


def reached(name):
    found, pending = set(), [name]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += imports(module)
    return found


@pytest.mark.parametrize("name", TREES)
def test_a_module_imports_its_own_experiment_and_shared_kits_only(name):
    parts = name.split(".")
    if name == "experiments.__main__":
        return  # it registers the claims
    for other in imports(name):
        theirs = other.split(".")
        if theirs[1] == "shared":
            continue
        assert parts[1] == theirs[1], f"{name} imports {other} of another family"
        if theirs[2] != "shared":
            assert experiment_of(name) == experiment_of(other), f"{name} imports {other}, which is another's"


def test_there_is_no_circle():
    for name in TREES:
        for other in imports(name):
            assert name not in reached(other), f"{name} and {other} import each other"


def test_every_shared_kit_serves_two_experiments_at_least():
    uses = {name: set() for name in TREES if "shared" in name.split(".")[:-1]}
    for family, members in FAMILIES.items():
        for member in members:
            for module in reached(f"experiments.{family}.{member}"):
                if module in uses:
                    uses[module].add(member)
    assert {name: users for name, users in uses.items() if len(users) < 2} == {}


def test_every_file_belongs_to_a_registered_experiment_or_is_shared():
    known = {(family, member) for family, members in FAMILIES.items() for member in members}
    own = {name: experiment_of(name) for name in TREES if experiment_of(name)}
    assert {name for name, of in own.items() if of not in known} == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_package_has_the_fixed_roles_and_at_most_five_files(family):
    for member in FAMILIES[family]:
        files = [path for path in (ROOT / family / member).glob("*.py") if path.stem != "__init__"]
        if files:
            assert len(files) <= 5
            assert (ROOT / family / member / "experiment.py") in files
            assert len({path.stem for path in files} - ROLES) <= 2
            face = ast.parse((ROOT / family / member / "__init__.py").read_text()).body
            assert all(isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in face)


# Own lines of an experiment: those of the modules that no other experiment reaches, its package's face left out.
MEDIAN, MOST = 220, 500


def own_lines():
    serves = {name: set() for name in TREES}
    for family, members in FAMILIES.items():
        for member in members:
            for module in reached(f"experiments.{family}.{member}"):
                serves[module].add(member)
    lines = {member: 0 for members in FAMILIES.values() for member in members}
    for name, users in serves.items():
        if len(users) == 1 and f"{name}.experiment" not in TREES:
            lines[next(iter(users))] += len(TEXTS[name].splitlines())
    return lines


def test_an_experiment_is_short():
    lines = own_lines()
    assert {name: number for name, number in lines.items() if number > MOST} == {}
    assert statistics.median(lines.values()) <= MEDIAN
