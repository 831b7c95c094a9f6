"""docs/theory.md, read: its statements, what holds each of them, and its mathematics."""

import pathlib
import re
from typing import NamedTuple

CHECKOUT = pathlib.Path(__file__).parent.parent
THEORY = (CHECKOUT / "docs/theory.md").read_text()
CODE = re.compile(r"`[^`]*`")
DISPLAY = re.compile(r"^\$\$\n(.*?)\n\$\$$", flags=re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"\$([^$]+)\$")
_ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')
_STATEMENT = re.compile(r'<a id="([\w-]+)"></a>\*\*((?:I|Proposition |Observation )(\d+)) \((.+?)\)\.\*\*')
_KINDS = {"I": "i", "Proposition ": "prop-", "Observation ": "obs-"}


class Statement(NamedTuple):
    """A labelled statement: the anchor before it, its label and title, and its text down to what holds it."""

    anchor: str
    label: str
    number: int
    title: str
    text: str

    @property
    def kind(self) -> str:
        """The label without its number."""
        return self.label.removesuffix(str(self.number))

    @property
    def held_by(self) -> str:
        """The paragraph that says what holds the statement; empty where it is missing."""
        found = re.search(r"^\*Held by\* (.*?)\.$", self.text, flags=re.DOTALL | re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def experiments(self) -> list[str]:
        """Names of the experiments whose checks hold it."""
        return re.findall(r"`(\w+)`", self.held_by)

    @property
    def tests(self) -> list[tuple[str, str]]:
        """(file, function) of the tests that hold it."""
        return re.findall(r"`(tests/\w+\.py)::(\w+)`", self.held_by)


def anchors() -> list[str]:
    """Every anchor of the file."""
    return _ANCHOR.findall(THEORY)


def statements() -> list[Statement]:
    """Identities, propositions, observations, each kind in the order of its numbers."""
    found = list(_STATEMENT.finditer(THEORY))
    ends = [place.start() for place in re.finditer(r"^##|<a id=", THEORY, flags=re.MULTILINE)] + [len(THEORY)]
    read = []
    for match in found:
        end = min(place for place in ends if place > match.start())
        anchor, label, number, title = match.groups()
        read.append(Statement(anchor, label, int(number), " ".join(title.split()), THEORY[match.end() : end].strip()))
    kinds = list(_KINDS)
    return sorted(read, key=lambda statement: (kinds.index(statement.kind), statement.number))


def anchor_of(statement: Statement) -> str:
    """What its anchor must be."""
    return f"{_KINDS[statement.kind]}{statement.number}"


def contents() -> str:
    """The table of contents that the statements make."""
    rows = ["| label | statement | held by |", "|---|---|---|"]
    for statement in statements():
        files = dict.fromkeys(path.removeprefix("tests/") for path, _ in statement.tests)
        holders = ", ".join(f"`{name}`" for name in (*statement.experiments, *files))
        rows.append(f"| [{statement.label}](#{statement.anchor}) | {statement.title} | {holders} |")
    return "\n".join(rows)


def formulas() -> list[str]:
    """Every formula, displayed or inline, without its dollars."""
    inline = CODE.sub("", DISPLAY.sub("", THEORY))
    return DISPLAY.findall(THEORY) + [" ".join(text.split()) for text in INLINE.findall(inline)]
