"""The list of planted faults fits the sources, and the planter tells a fault that is noticed from one that is not."""

import mutants
import pytest

# Of six kinds: random numbers, second rounds, impossible contexts, standard errors, the door, statements.
SAMPLE = (
    "the heap reuses a key from the sixth block on",
    "ridge centred at the first parameters",
    "kappa counts impossible contexts",
    "standard errors of a mean 1.5 times too wide",
    "a law need not sum to one",
    "the stated counterexample of RLOO reversed",
)


def test_every_fault_is_found_once_in_the_sources():
    names = [fault.name for fault in mutants.faults()]
    assert set(SAMPLE) <= set(names)
    assert len(names) >= 60


def test_the_report_is_of_these_faults_and_at_least_95_in_100_are_caught():
    first, _, *rows = mutants.REPORT.read_text().splitlines()
    faults = mutants.faults()
    assert [row[8:] for row in rows] == [f"{fault.name}  ({fault.file})" for fault in faults]
    missed = [row for row in rows if not row.startswith("caught  ")]
    assert first == f"{len(rows) - len(missed)} of {len(rows)} faults caught by tests that `make test` runs"
    assert len(missed) <= 0.05 * len(rows)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    mutants.copy_tree(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_fault_is_noticed_and_removed_again(name, tree):
    (fault,) = (fault for fault in mutants.faults() if fault.name == name)
    assert mutants.noticed(fault, tree)
    assert (tree / fault.file).read_text() == (mutants.CHECKOUT / fault.file).read_text()


@pytest.mark.slow
def test_a_change_that_is_no_fault_is_not_noticed(tree):
    fault = mutants.Fault(
        "a comment", "banditlab/claims/statistics.py", "BAND = {", "# nothing\nBAND = {", ("test_statistics.py",)
    )
    assert not mutants.noticed(fault, tree)
