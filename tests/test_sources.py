"""The hash of a result's sources: it follows what the numbers depend on, and nothing else."""

import ast
import textwrap
from pathlib import Path

import pytest

import banditlab
from banditlab.store.modules import Library
from banditlab.store.sources import WITHOUT_EFFECT, Sources, source_hash
from banditlab.store.syntax import Reference

FILES = {
    "claim.py": '''
        """A claim."""
        from __future__ import annotations

        from dataclasses import dataclass
        from typing import TYPE_CHECKING

        import numpy as np

        import own.parts as parts
        from own import drawing, plain
        from own.parts import steps
        from own.registered import METHODS

        if TYPE_CHECKING:
            from own.drawing import Canvas

        SCALE = 2
        UNUSED = 3

        @dataclass
        class Config:
            """Sizes."""
            num_seeds: int = 4

        def run(config: Config, shards: Canvas | None = None) -> float:
            """Measure."""
            total: float = parts.measure(SCALE) + steps.walk() + plain.deep.add(1, np.pi)
            if total < 0:
                got = f"{total}"
                raise ValueError(f"total must be positive; got {got}")
            assert total, "nothing"
            return METHODS["twice"](total) + sum(SCALE for SCALE in range(3))

        def check(table):
            return drawing.draw(table) + UNUSED
        ''',
    "parts/__init__.py": "from .measures import measure\nfrom own.parts.rest import *\n",
    "parts/measures.py": """
        import own.deep
        def measure(x): return own.deep.add(x, 1) if x else even(x)
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n == 1 or even(n - 2)
        """,
    "parts/rest.py": "def other():\n    return 0\n",
    "parts/steps.py": "def walk():\n    from ..deep import add\n    return add(1, 1)  # one\n",
    "deep.py": "def add(x, y):\n    return x + y\n\ndef away(x):\n    return -x\n",
    "plain.py": "from own import deep\n",
    "registered.py": "METHODS = {}\n\ndef twice(x): return 2 * x\n\nMETHODS['twice'] = twice\n\nELSE = 5\n",
    "drawing.py": "class Canvas: pass\n\ndef draw(table):\n    return 0\n",
    "dynamic.py": "import own.deep as d\n\ndef run(name): return getattr(d, name)(1)\n",
    "classes.py": """
        def helper(): return 1
        class Base:
            factor = 2
            def value(self): return self.factor * helper()
        def run(): return Base.value
        """,
}


@pytest.fixture
def tree(tmp_path):
    """Write the files; returns hash(name of a module, changes of texts) over run and, where it is, Config."""
    package = tmp_path / "own"

    def write(name, text):
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    for name, text in FILES.items():
        write(name, text)
    write("__init__.py", "")

    def hashed(module="claim", names=("run", "Config"), replace=None, files=None):
        changed = dict(files or {})
        for name, (old, new) in (replace or {}).items():
            assert FILES[name].count(old) == 1, (name, old)
            changed[name] = FILES[name].replace(old, new)
        for name, text in changed.items():
            write(name, text)
        sources = Sources(Library({"own": [package]}))
        found = sources.hash([Reference(f"own.{module}", name) for name in names])
        for name in changed:
            (package / name).unlink()
            if name in FILES:
                write(name, FILES[name])
        return found

    return hashed


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("claim.py", "SCALE = 2", "SCALE = 4"),
        ("claim.py", "num_seeds: int = 4", "num_seeds: int = 5"),
        ("claim.py", "range(3)", "range(4)"),
        ("claim.py", "total < 0", "total < 1"),
        ("claim.py", "np.pi", "np.e"),
        ("parts/measures.py", "(x, 1)", "(x, 2)"),
        ("parts/measures.py", "even(n - 2)", "even(n - 3)"),
        ("parts/measures.py", "n == 0 or odd(", "n == 0 or even("),
        ("parts/steps.py", "(1, 1)", "(1, 2)"),
        ("deep.py", "x + y", "x - y"),
        ("registered.py", "2 * x", "3 * x"),
        ("registered.py", "['twice'] = twice", "['twice'] = abs"),
    ],
)
def test_the_hash_changes_with_what_the_result_depends_on(tree, file, old, new):
    assert tree(replace={file: (old, new)}) != tree()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("claim.py", "UNUSED = 3", "UNUSED = 4"),
        ("claim.py", '"""Measure."""', '"""Measure twice.\n\n            Cut once."""'),
        ("claim.py", "total must be positive; got {got}", "total is not positive: {total + 1} {got}"),
        ("claim.py", 'got = f"{total}"', 'got = f"just {total}"'),
        ("claim.py", '"nothing"', '"nothing at all"'),
        ("claim.py", "total: float = ", "total = "),
        ("claim.py", "-> float:", "-> complex:"),
        ("claim.py", "import own.parts as parts", "from own import parts"),
        ("claim.py", "drawing.draw(table) + UNUSED", "7"),
        ("claim.py", "from own.drawing import Canvas", "from elsewhere import Canvas"),
        ("parts/steps.py", "# one", "# two"),
        ("parts/steps.py", "from ..deep import add\n    return add(", "import own.deep\n    return own.deep.add("),
        ("parts/rest.py", "return 0", "return 1"),
        ("drawing.py", "return 0", "return 1"),
        ("deep.py", "return -x", "return +x"),
        ("registered.py", "ELSE = 5", "ELSE = 6"),
    ],
)
def test_the_hash_does_not_change_with_anything_else(tree, file, old, new):
    assert tree(replace={file: (old, new)}) == tree()


def test_a_definition_can_move_and_be_renamed(tree):
    moved = {
        "deep.py": "from own.parts.sums import total as add\n",
        "parts/sums.py": "def total(x, y):\n    return x + y\n",
        "parts/measures.py": FILES["parts/measures.py"].replace("even", "is_even").replace("odd", "is_odd"),
    }
    assert tree(files=moved) == tree()


def test_a_package_without_an_init_file_is_followed(tree):
    users = {
        "claim.py": FILES["claim.py"]
        .replace("from own.parts import steps", "import own.bare.steps")
        .replace("steps.walk()", "own.bare.steps.walk()"),
        "bare/steps.py": "def walk():\n    from own.deep import add\n    return add(1, 1)\n",
    }
    moved = tree(files=users)
    assert moved == tree()
    assert tree(files=users | {"bare/steps.py": users["bare/steps.py"].replace("(1, 1)", "(1, 2)")}) != moved


def test_a_module_used_as_a_value_counts_whole(tree):
    whole = tree("dynamic", ("run",))
    assert tree("dynamic", ("run",), replace={"deep.py": ("return -x", "return +x")}) != whole
    assert tree("dynamic", ("run",), replace={"deep.py": ("def away", "def far")}) != whole


def test_a_definition_that_a_decorator_registers_counts_with_its_module(tree):
    text = """
        class Rule:
            def register(self, function): self.function = function
        rule = Rule()
        @rule.register
        def batched(x): return 2 * x
        def run(): return rule
        """
    registered = tree("decorated", ("run",), files={"decorated.py": text})
    assert tree("decorated", ("run",), files={"decorated.py": text.replace("2 * x", "3 * x")}) != registered


def test_a_reached_class_counts_whole(tree):
    whole = tree("classes", ("run",))
    assert tree("classes", ("run",), replace={"classes.py": ("factor = 2", "factor = 3")}) != whole
    assert tree("classes", ("run",), replace={"classes.py": ("return 1", "return 2")}) != whole
    assert tree("classes", ("run",), replace={"classes.py": ("def value(self)", "def worth(self)")}) != whole


def test_the_hash_is_the_one_that_other_python_versions_find(tree):
    # Found by Python 3.11.7 and 3.12.1; a new rule needs a new VERSION and a new value here.
    assert tree() == "2:6c8f3ecb7c4b6625d886aa38adc3be287f75aa7b8afcea8f900dd5b6796c5018"


def test_canonical_form_of_an_f_string_does_not_depend_on_how_it_is_split(tree):
    spelled = {"claim.py": FILES["claim.py"].replace("SCALE = 2", 'SCALE = f"a{1}b" "c"')}
    together = {"claim.py": FILES["claim.py"].replace("SCALE = 2", 'SCALE = f"a{1}bc"')}
    assert tree(files=spelled) == tree(files=together) != tree()


def test_objects_without_a_file_or_inside_functions_are_refused():
    with pytest.raises(ValueError, match="objects must come from modules with a source file"):
        source_hash(print)
    with pytest.raises(ValueError, match="objects must be at the top level of their modules; got 'nowhere'"):
        Sources(Library({"banditlab": [Path(item) for item in banditlab.__path__]})).hash(
            [Reference("banditlab.losses", "nowhere")]
        )


def test_every_function_of_the_library_has_a_canonical_form():
    (folder,) = banditlab.__path__
    sources = Sources(Library({"banditlab": [Path(folder)]}))
    for path in sorted(Path(folder).rglob("*.py")):
        parts = ("banditlab", *path.relative_to(folder).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name != "__dir__" and module not in WITHOUT_EFFECT:
                assert Reference(module, node.name) in sources.reach([Reference(module, node.name)])
