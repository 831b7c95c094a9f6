"""Numbers in docs/theory.md and README.md: each is what docs/numbers.toml computes, and none is left out."""

import functools
import pathlib
import re
import tomllib

import numpy as np
import pytest
import stated_numbers

from banditlab.exact import chain
from banditlab.store import Table
from benchmarks import readme

CHECKOUT = pathlib.Path(__file__).parent.parent
REGISTER = tomllib.loads((CHECKOUT / "docs/numbers.toml").read_text())
NUMBERS, GIVEN = REGISTER["number"], REGISTER["given"]
FILES = ("docs/theory.md", "README.md")
# Names in code, targets of links, tags, and what arXiv calls its papers.
ASIDE = re.compile(r"`[^`]*`|\]\([^)]*\)|</?[a-z][^<>]*>|\d{4}\.\d{5}|arXiv \d+\.\d+")
CODE = re.compile(r"^```.*?^```|^ {4}.*?$", flags=re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])(?:\d[\d,]*\d|\d)(?:\.\d+)?|(?<![\w.])\.\d+")


@functools.cache
def words(file: str) -> str:
    """The text of a file with one space between words, without blocks of code and what `benchmarks.readme` fills in."""
    text = CODE.sub("", (CHECKOUT / file).read_text())
    if file == "README.md":
        for place in readme.measured(text):
            text = text.replace(place, "")
    return " ".join(text.split())


def significant(number: str) -> int:
    """Digits that carry information: 0.0390 has three, 1000 has one."""
    digits = number.replace(",", "")
    return len(digits.replace(".", "").lstrip("0") if "." in digits else digits.strip("0"))


def unregistered(text: str, places: list[slice], given: set[str]) -> list[str]:
    """Numbers of three or more digits outside of the places and code, links and tags, and not among the given."""
    blank = ASIDE.sub(lambda match: " " * len(match.group()), text)
    for place in places:
        blank = blank[: place.start] + " " * (place.stop - place.start) + blank[place.stop :]
    return [found for found in NUMBER.findall(blank) if significant(found) >= 3 and found not in given]


def place_of(number: dict[str, str]) -> slice:
    """Where its text holds the number, once in its file."""
    text, before = words(number["file"]), number["text"].partition("{}")[0]
    whole = number["text"].replace("{}", number["value"])
    assert text.count(whole) == 1, whole
    start = text.index(whole) + len(before)
    return slice(start, start + len(number["value"]))


@functools.cache
def columns(table: str) -> dict[str, np.ndarray]:
    """The columns of figures/<table>.csv."""
    return Table.read(CHECKOUT / f"figures/{table}.csv").columns


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number["text"])
def test_a_number_in_the_text_is_what_its_expression_gives(number):
    place_of(number)
    scope = {**vars(stated_numbers), "chain": chain, "np": np}
    if "table" in number:
        scope |= columns(number["table"])
    found = eval(number["expression"], scope)  # the project's own file
    decimals = len(number["value"].partition(".")[2])
    assert round(float(found), decimals) == float(number["value"].replace(",", "")), found


@pytest.mark.parametrize("file", FILES)
def test_every_number_of_three_digits_is_registered(file):
    text = words(file)
    places = [place_of(number) for number in NUMBERS if number["file"] == file]
    given = {value for entry in GIVEN if entry["file"] == file for value in entry["values"]}
    assert unregistered(text, places, given) == []


@pytest.mark.parametrize("entry", GIVEN, ids=lambda entry: f"{entry['file']}: {entry['why']}")
def test_a_given_number_is_still_there(entry):
    numbers = set(NUMBER.findall(ASIDE.sub(" ", words(entry["file"]))))
    assert set(entry["values"]) <= numbers


def test_an_unregistered_number_is_found_whatever_its_form():
    text = "a 0.153 b .626 c $x = 12641$ d 1,234 e 4096 but 1000, 0.05, 10^{-4}, `875`, [a](b123), arXiv 1110.2842"
    assert unregistered(text, [], set()) == ["0.153", ".626", "12641", "1,234", "4096"]
    assert unregistered(text, [slice(2, 7)], {".626", "4096"}) == ["12641", "1,234"]
