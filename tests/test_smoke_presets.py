"""Every experiment through the command line at its smallest size: run, draw, reuse, and run with a field set."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from reach import recorded, uncovered

from banditlab.claims import registry
from banditlab.claims.experiment import by_part
from banditlab.claims.selection import select
from banditlab.command import main
from banditlab.numerics import span

# One or two of every family that compile little, with every test run; the others by `make test-all`.
QUICK = (
    "batch_threshold",
    "exact_gradient_dynamics",
    "reward_accuracy",
    "unseen_mass",
    "kl_directions",
    "llm_estimates",
)
# The language model's in one folder, where they share references and training runs.
TOGETHER = registry.families()["language_model"]
ALONE = [name for name in registry.names() if name not in TOGETHER]
GROUPS = [
    *(pytest.param([name], id=name) for name in QUICK),
    *(pytest.param([name], id=name, marks=pytest.mark.slow) for name in ALONE if name not in QUICK),
    pytest.param(list(TOGETHER), id="language_model", marks=pytest.mark.slow),
]
# Name -> a field to set, and the column of a prediction that follows it; a file for every family.
CHANGES = {
    name: change
    for path in sorted(Path(__file__).parent.glob("fields_*.py"))
    for name, change in importlib.import_module(path.stem).CHANGES.items()
}


@pytest.fixture(autouse=True)
def a_free_softmax_started_by_default_is_not_a_number(monkeypatch):
    """Tables were made when a free softmax started at its base, not at pi_ref: no experiment may use its start."""
    membership = span.membership

    def poisoned(given, eps):
        found = membership(given, eps)
        start = found["reference_params"]
        return found | ({"reference_params": np.nan * start} if np.any(start) else {})

    monkeypatch.setattr(span, "membership", poisoned)


@pytest.mark.parametrize("names", GROUPS)
def test_the_smoke_preset_runs_draws_and_is_reused(names, tmp_path, capsys):
    command = [*names, "--preset", "smoke", "--output", str(tmp_path)]
    loaded = [registry.load(name) for name in names]  # importing them is no part of the run
    with recorded() as entered:
        assert main(["run", *command]) == 0
    # An independent way to what the results depend on: whatever ran is covered by the hash.
    codes = {(one.run.__code__.co_filename, one.run.__code__.co_firstlineno) for one in loaded}
    assert codes <= entered, "nothing was recorded"
    assert uncovered(entered, loaded) == set()
    assert main(["figures", *command]) == 0
    for name in names:
        suffixes = {path.name.removeprefix(name) for path in (tmp_path / "smoke").glob(f"{name}.*")}
        assert {".json", ".pdf", ".png", ".tex"} == {suffix for suffix in suffixes if not suffix.endswith(".csv")}
        assert any(suffix.endswith(".csv") for suffix in suffixes)
    capsys.readouterr()
    assert main(["run", *command]) == 0
    assert capsys.readouterr().out.count(" 0 shards computed, ") == len(names)
    for name in names:
        a_set_field_changes_tables_and_predictions(name, tmp_path)


def a_set_field_changes_tables_and_predictions(name, output):
    text, column = CHANGES[name]
    field, _, value = text.partition("=")
    assert main(["run", name, "--preset", "smoke", "--output", str(output), "--set", text]) == 0
    usual, other = (
        by_part(select(registry.load(name), "smoke", settings, output).fresh.tables())
        for settings in ({}, {field: value})
    )
    *parts, prediction = column.split(".")
    part = parts[0] if parts else ""
    assert any(usual[key].to_csv() != other[key].to_csv() for key in usual)
    ours, theirs = usual[part][prediction], other[part][prediction]
    assert len(ours) != len(theirs) or (ours != theirs).any(), f"{column} does not follow {field}"


def test_every_experiment_has_a_field_to_set():
    assert set(CHANGES) == set(registry.names())
