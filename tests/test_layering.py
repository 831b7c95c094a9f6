"""Dependencies point one way, modules stay small, and importing the library costs no plotting."""

import ast
import pathlib
import subprocess
import sys
import types

import pytest

import banditlab as bl

CHECKOUT = pathlib.Path(__file__).parents[1]
LIBRARY = CHECKOUT / "banditlab"

# Lowest layer first; a module may import its own layer and the ones before it.
LAYERS = [
    {
        "validation",
        "law_checks",
        "door",
        "door_checks",
        "environment_arrays",
        "errors",
        "precision",
        "lazy",
        "terminal",
        "numerics",
        "exact",
        "store",
    },
    {"environment", "losses"},
    {"policies", "preferences", "coverage", "metrics", "instances", "theory"},
    {"designs", "samplers", "estimators"},
    {"algorithms"},
    {"running", "didactic"},
    {"plotting", "testing", "planner"},
    {"llm"},
    {"claims"},
    {"command"},
]
IMPORTS = ast.Import | ast.ImportFrom
# What a face may define: what it lists, and how.
FACE = {"", "__all__", "__dir__", "__version__"}
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


def modules(package):
    return {
        path.relative_to(CHECKOUT): ast.parse(path.read_text()) for path in sorted((CHECKOUT / package).rglob("*.py"))
    }


def imported(tree):
    """Dotted names a module imports when it runs, at whatever depth; `from a import b` as a.b."""
    unread = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in (node for node in ast.walk(tree) if id(node) not in unread):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(path):
    """The layered name of a library file: its package or module just below banditlab; `python -m` is the command."""
    if path.name == "__main__.py":
        return "command"
    return path.with_suffix("").parts[1]


LIBRARY_MODULES = modules("banditlab")


@pytest.mark.parametrize("path", LIBRARY_MODULES, ids=str)
def test_a_module_imports_its_own_layer_and_lower_ones_only(path):
    if path == pathlib.Path("banditlab/__init__.py"):
        return  # the front door names everything
    assert top(path) in LEVEL, f"{path} is in no layer: place it in LAYERS"
    for name in imported(LIBRARY_MODULES[path]):
        parts = name.split(".")
        if parts[0] == "banditlab":
            assert parts[1] in LEVEL, f"{path} imports {name} from the front door"
            assert LEVEL[parts[1]] <= LEVEL[top(path)], f"{path} imports {name} from a higher layer"


def test_predictions_know_nothing_of_what_they_predict():
    producers = {"algorithms", "estimators", "samplers", "designs", "running"}
    for path, tree in LIBRARY_MODULES.items():
        if top(path) in {"theory", "exact", "coverage", "metrics", "policies"}:
            names = [name for name in imported(tree) if name.startswith("banditlab.")]
            used = {name.split(".")[1] for name in names}
            assert not used & producers, f"{path} imports {used & producers}"
            assert not any("multinomial" in name for name in names), path


def test_the_library_has_no_circle_of_imports():
    known = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in LIBRARY_MODULES}
    uses = {}
    for path, tree in LIBRARY_MODULES.items():
        here = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        uses[here] = set()
        for name in imported(tree):
            parts = name.split(".")
            found = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
            uses[here] |= {next((module for module in found if module in known), here)} - {here}
    remaining = dict(uses)
    while remaining:  # leaves first: what is left over in the end is a circle, or stands on one
        leaves = [module for module, used in remaining.items() if not used & remaining.keys()]
        assert leaves, f"modules that import one another: {sorted(remaining)}"
        for module in leaves:
            del remaining[module]


def test_every_jit_says_why_or_is_the_outermost():
    for path, tree in LIBRARY_MODULES.items():
        bare = [
            node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.jit"
        ]
        allowed = str(path) in ("banditlab/numerics/compilation.py", "banditlab/testing.py")
        assert allowed or not bare, f"{path}, lines {bare}: use numerics.compilation's inner or outermost"


def test_a_face_hands_on_names_and_does_nothing():
    for path, tree in LIBRARY_MODULES.items():
        if path.name == "__init__.py":
            for node in tree.body:
                names = (
                    [target.id for target in node.targets if isinstance(target, ast.Name)]
                    if isinstance(node, ast.Assign)
                    else [getattr(node, "name", "")]
                )
                fine = isinstance(node, (*IMPORTS.__args__, ast.Expr, ast.If)) or set(names) <= FACE
                assert fine, f"{path} line {node.lineno}"


def test_completion_shows_the_documented_interface_and_nothing_else():
    assert set(dir(bl)) == {*bl.__all__, "__version__", "claims", "didactic", "llm", "plotting", "store"}
    for name in bl.__all__:
        found = getattr(bl, name)
        if isinstance(found, types.ModuleType) and not name.startswith("_"):
            assert dir(found) == sorted(found.__all__), name
            assert all(hasattr(found, public) for public in found.__all__), name
    for module in [
        bl.environment,
        bl.plotting,
        bl.didactic,
        *(getattr(bl.didactic, name) for name in dir(bl.didactic)),
    ]:
        assert dir(module) == sorted(module.__all__), module


@pytest.mark.parametrize("name", ["binomial", "environment", "factorise", "linalg", "multinomial", "policies", "store"])
def test_an_attribute_that_once_was_there_is_there(name):
    assert isinstance(getattr(bl, name), types.ModuleType)
    assert not hasattr(bl, "nothing_of_this_name")


def test_exact_laws_are_numpy_and_scipy_alone():
    for path, tree in LIBRARY_MODULES.items():
        if top(path) == "exact":
            outside = {
                name
                for name in imported(tree)
                if name.split(".")[0] not in (*sys.stdlib_module_names, "numpy", "scipy")
            }
            assert all(name.startswith(("banditlab.exact", "banditlab.validation")) for name in outside), path


@pytest.mark.parametrize("path", LIBRARY_MODULES, ids=str)
def test_the_library_imports_neither_experiments_nor_benchmarks_nor_tests(path):
    roots = {name.split(".")[0] for name in imported(LIBRARY_MODULES[path])}
    assert not roots & {"experiments", "benchmarks", "tests", "notebooks"}
    if top(path) not in ("llm", "command") and path != pathlib.Path("banditlab/__init__.py"):
        assert not any(name.startswith("banditlab.llm") for name in imported(LIBRARY_MODULES[path]))


def test_the_command_imports_the_language_model_inside_its_verb_only():
    for path, tree in LIBRARY_MODULES.items():
        if top(path) == "command" and "training" not in path.parts:  # the verb `llm train` itself
            named = [name for node in tree.body if isinstance(node, IMPORTS) for name in imported(node)]
            assert not any(name.startswith("banditlab.llm") for name in named), path


def test_layers_below_plotting_do_no_input_or_output_but_for_saved_environments():
    for path, tree in LIBRARY_MODULES.items():
        if LEVEL.get(top(path), len(LAYERS)) < LEVEL["plotting"] and top(path) not in (
            "store",
            "errors",
            "environment",
            "environment_arrays",
        ):
            calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
            assert not calls & {"open", "print", "input"}, f"{path} calls {calls & {'open', 'print', 'input'}}"
            assert not {name.split(".")[0] for name in imported(tree)} & {"pathlib", "shutil", "tempfile", "csv"}


def test_importing_the_package_sets_one_global_option_the_precision():
    for path, tree in LIBRARY_MODULES.items():
        if path == pathlib.Path("banditlab/claims/jax_settings.py"):
            continue  # what the command asks for
        updates = [
            node.args[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("config.update")
            and isinstance(node.args[0], ast.Constant)
        ]
        assert updates == (["jax_enable_x64"] if str(path) == "banditlab/precision.py" else []), path


def test_experiments_and_benchmarks_use_the_public_surface():
    for package in ("experiments", "benchmarks"):
        for path, tree in modules(package).items():
            roots = {name.split(".")[0] for name in imported(tree)}
            assert "tests" not in roots, path


def test_no_module_is_over_300_lines_nor_called_utils():
    for package in ("banditlab", "experiments", "benchmarks"):
        for path in modules(package):
            assert "util" not in path.stem
            assert len((CHECKOUT / path).read_text().splitlines()) <= 300, path


def test_importing_the_library_leaves_plotting_and_progress_bars_out():
    program = "import sys, banditlab; print(sorted({'matplotlib', 'rich', 'tyro', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.strip() == "[]"


def test_packages_that_are_loaded_when_asked_for_are_whole_in_a_fresh_process():
    program = "import banditlab as bl; print(bl.didactic.training.train.__name__, bl.theory.mode_seeking.fit.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.split() == ["train", "fit"]


def test_the_precision_is_chosen_by_one_variable():
    program = "import banditlab, jax.numpy as jnp; print(jnp.zeros(()).dtype)"
    for precision, expected in (("float32", "float32"), ("float64", "float64"), ("half", None)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            env={"BANDITLAB_PRECISION": precision, "JAX_PLATFORMS": "cpu"},
        )
        if expected:
            assert done.stdout.strip() == expected, done.stderr
        else:
            assert "BANDITLAB_PRECISION must be 'float32' or 'float64'; got 'half'" in done.stderr
