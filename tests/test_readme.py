"""The README's Python runs as printed, and its commands exist."""

import re
from pathlib import Path

import pytest

from banditlab.claims import registry
from benchmarks import readme

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["twelve_lines", "own_algorithm"])
def test_code_blocks_run(block, capsys):
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    after = README.partition(block)[2]
    shown = re.match(r"```\n\nprints [^`]*:\n\n```\n(.*?)```", after, flags=re.DOTALL)
    assert bool(printed) == bool(shown)
    if shown:
        words, numbers = read(shown.group(1))
        found_words, found_numbers = read(printed)
        assert found_words == words
        # Another processor may round a number the other way, by one of its last digit.
        assert found_numbers == pytest.approx(numbers, abs=1.01e-4)


def read(printed):
    """The words of a text and its numbers."""
    return re.sub(r"[\d.\s]+", " ", printed), [float(number) for number in re.findall(r"\d+\.\d*", printed)]


def test_every_experiment_is_in_the_claims_table():
    rows = re.findall(r"^\|.*\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert tuple(rows) == registry.names()


def test_the_measured_numbers_are_those_of_the_committed_tables_and_report():
    assert readme.filled(README) == README


def test_make_targets_exist():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in ("reproduce", "test"))
