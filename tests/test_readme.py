"""The README's Python runs as printed, and its commands exist."""

import re
from pathlib import Path

import pytest

from banditlab.claims import registry
from benchmarks import readme

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["twelve_lines", "own_algorithm"])
def test_code_blocks_run(block):
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_every_experiment_is_in_the_claims_table():
    rows = re.findall(r"^\|.*\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert tuple(rows) == registry.names()


def test_the_measured_numbers_are_those_of_the_committed_tables_and_report():
    assert readme.filled(README) == README


def test_make_targets_exist():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in ("reproduce", "test"))
