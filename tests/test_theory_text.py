"""docs/theory.md can be quoted: labels, anchors, holders that exist, and formulas that no Markdown reader changes."""

import importlib
import re

import pytest
from theory_text import CHECKOUT, CODE, DISPLAY, INLINE, THEORY, anchor_of, anchors, contents, formulas, statements

from banditlab.claims import registry

STATEMENTS = statements()
# What the formulas use; all of it is known to KaTeX and MathJax.
COMMANDS = set(
    re.findall(
        r"\w+",
        """
        approx arg bar begin beta Big big cdot chi circ cos cosh cr dagger Delta delta det dot dots ell end epsilon eta
        exp frac Gamma ge gtrsim hat in inf infty int kappa lambda langle lbrace le left leftarrow leftrightarrow
        lesssim log lVert lvert mapsto mathrm max mid min mu nabla ne nu operatorname partial perp Phi phi pi pm preceq
        prod propto qquad quad rangle rbrace rho right rVert rvert setminus sigma sim sinh sqrt star subseteq succeq sum
        sup supseteq tanh tau text textstyle tfrac theta times to top varepsilon Vert
        """,
    )
)


def test_every_anchor_is_there_once_and_is_that_of_its_label():
    assert len(set(anchors())) == len(anchors()) == len(STATEMENTS)
    assert [statement.anchor for statement in STATEMENTS] == [anchor_of(statement) for statement in STATEMENTS]


def test_labels_are_numbered_without_a_gap():
    for kind in ("I", "Proposition ", "Observation "):
        numbers = [statement.number for statement in STATEMENTS if statement.kind == kind]
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_table_of_contents_is_that_of_the_statements():
    assert contents() in THEORY, contents()
    assert set(re.findall(r"\]\(#([\w-]+)\)", THEORY)) == set(anchors())


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.anchor)
def test_a_statement_says_its_assumptions_its_proof_and_what_holds_it(statement):
    assert re.match(r"\s*(Let|For|The effective)\b", statement.text)
    if statement.kind == "Observation ":
        assert re.search(r"\*[Nn]umerical\.?\*", statement.text)
    else:
        assert re.search(r"^\*Proof\b", statement.text, flags=re.MULTILINE)
        assert "∎" in statement.text
    assert statement.experiments or statement.tests
    assert set(statement.experiments) <= set(registry.names())
    for path, name in statement.tests:
        assert re.search(rf"^def {name}\(", (CHECKOUT / path).read_text(), flags=re.MULTILINE), f"{path}::{name}"


def test_every_test_that_is_named_is_read():
    assert len(re.findall("::", THEORY)) == sum(len(statement.tests) for statement in STATEMENTS)


def test_every_experiment_is_named_at_a_statement():
    named = {name for statement in STATEMENTS for name in statement.experiments}
    assert named == set(registry.names())


def test_every_name_of_the_library_exists():
    for name in set(re.findall(r"`((?:bl|banditlab)\.[\w.]+)(?:\([^`]*\))?`", THEORY)):
        assert _resolves("banditlab" + name[name.index(".") :]), name


def test_every_proposition_that_the_project_cites_is_stated():
    labels = {statement.label for statement in STATEMENTS}
    for folder, pattern in (("banditlab", "*.py"), ("experiments", "*.py"), ("tests", "*.py"), (".", "*.md")):
        files = (CHECKOUT / folder).glob(pattern) if folder == "." else (CHECKOUT / folder).rglob(pattern)
        for path in files:
            for label in re.findall(r"Proposition \d+|\bI[1-9]\b(?=[,;):]| of docs)", path.read_text()):
                assert label in labels, f"{path}: {label}"
    headings = set(re.findall(r"^## (\d+)\.", THEORY, flags=re.MULTILINE))
    for path in (CHECKOUT / "banditlab").rglob("*.py"):
        assert set(re.findall(r"theory\.md[`,]* (?:section )?(\d+)", path.read_text())) <= headings


def test_dollars_come_in_pairs_and_next_to_what_they_enclose():
    text = CODE.sub("", DISPLAY.sub("", THEORY))
    for paragraph in text.split("\n\n"):
        assert paragraph.count("$") % 2 == 0, paragraph
    for formula in INLINE.finditer(text):
        inside = formula.group(1)
        assert inside == inside.strip(), inside
        assert "\n" not in inside, inside
        assert text[formula.start() - 1] in "\n ([|", inside
        assert text[formula.end()] in "\n .,;:!?)]'|", inside
    assert THEORY.count("$$") == 2 * len(DISPLAY.findall(THEORY))


@pytest.mark.parametrize(
    ("trap", "why"),
    [
        (r"\*", "an asterisk begins emphasis"),
        (r"(?:^|[^\w\s]|\s)_", "an underscore after no letter begins emphasis"),
        (r"\\[^A-Za-z\s]", "a backslash before punctuation is dropped"),
        (r"\]\(", "a bracket before a parenthesis is a link"),
        (r"\|", "a bar ends a cell of a table"),
        (r"<\S", "an angle before a letter is a tag"),
    ],
)
def test_no_formula_is_read_as_markdown(trap, why):
    for formula in formulas():
        assert not re.search(trap, formula), f"{why}: {formula}"


def test_formulas_balance_and_use_known_commands():
    for formula in formulas():
        depth = 0
        for sign in re.findall(r"[{}]", formula):
            depth += 1 if sign == "{" else -1
            assert depth >= 0, formula
        assert depth == 0, formula
        for opening, closing in (
            (r"\\left\b", r"\\right\b"),
            (r"\\begin\b", r"\\end\b"),
            (r"\\l[Vv]ert", r"\\r[Vv]ert"),
        ):
            assert len(re.findall(opening, formula)) == len(re.findall(closing, formula)), formula
        assert set(re.findall(r"\\([A-Za-z]+)", formula)) <= COMMANDS, formula


def _resolves(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for depth, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:depth]))
            except ModuleNotFoundError:
                return False
        found = getattr(found, part)
    return True
