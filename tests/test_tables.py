"""Committed tables can be read without the code: one meaning a column, a dictionary in every record."""

import re

import numpy as np
import pytest

from banditlab.claims import registry
from banditlab.claims.columns import COMMON, SUMMARIES, meanings
from banditlab.claims.experiment import by_part
from banditlab.claims.selection import select

NAMES = registry.names()


def results(name):
    """(preset, result) of the committed tables of an experiment."""
    experiment = registry.load(name)
    for preset in ("default", "paper"):
        if preset in experiment.presets:
            kept = select(experiment, preset).committed()
            if kept.exists():
                yield preset, kept


@pytest.mark.parametrize("name", NAMES)
def test_every_record_explains_every_column(name):
    experiment = registry.load(name)
    for preset, kept in results(name):
        tables, record = by_part(kept.tables()), kept.record()
        assert kept.damage() is None
        if kept.outdated(*select(experiment, preset).hashes) is None:
            said = {part: entry["columns"] for part, entry in record["tables"].items()}
            assert said == experiment.dictionary(tables), preset
        for part, entry in record["tables"].items():
            assert entry["rows"] == len(tables[part])
            for column, words in entry["columns"].items():
                assert not re.search(r"\bor\b", words["meaning"]), (part, column)
                assert words["meaning"].strip(), (part, column)


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_the_dictionary_explains_a_column(name):
    experiment = registry.load(name)
    tables = by_part(select(experiment).committed().tables())
    ending = re.compile(rf"_({'|'.join(SUMMARIES)})$")
    used = set()
    for part, table in tables.items():
        for column in table.columns:
            entries = meanings(experiment.columns, part)
            while column not in entries:
                column = ending.sub("", column)
            used.add((part, column))
    for part in tables:
        own = set(meanings(experiment.columns, part)) - set(COMMON)
        shared = {key for key in own if any(key == column for _, column in used)}
        assert own == shared, (part, own - shared)


# Columns that are 0 or infinite in one kind of rows by what they mean there. A difference from the row's own arm is 0.
BY_NATURE = {
    "ridge": "fits without a ridge",
    "max_norm": "fits without a cap",
    "penalty": "losses without a penalty",
    "bound": "rewards without a bound",
    "clip": "PPO without its clip",
    "failed": "a count",
    "absorbed": "a share",
    "below": "a share",
    "largest_below": "a share",
    "chosen_falls": "a share",
    "unlike_greedy": "a share of the greedy policy itself, and of one that never moves",
    "floor_kl": "distillation without noise has no floor",
    "rate": "quadratic convergence",
    "doubled": "twice no penalty",
    "end": "conserved by the flow",
    "predicted": "no limit; no critical temperature",
    "critical_beta": "no critical temperature",
    "tilt": "the policy of the values itself",
    "divergence": "the policy of the values itself",
    "action": "the first action",
    "bias": "limits that are reached exactly",
    "gain": "own draws never reach the floor",
    "early_difference": "own draws never reach the floor",
    "value": "Best-of-N has no number of its own",
}


@pytest.mark.parametrize("name", NAMES)
def test_no_column_is_filled_up_where_it_does_not_apply(name):
    """No number is 0, -1 or infinite throughout one kind of rows, with its errors, and varies in another kind."""
    filled = []
    for part, table in by_part(select(registry.load(name)).committed().tables()).items():
        kinds = [
            key for key, values in table.columns.items() if values.dtype.kind == "U" and len(np.unique(values)) <= 6
        ]
        for kind in kinds:
            groups = [table[kind] == value for value in np.unique(table[kind])]
            for column, values in table.columns.items():
                by_nature = column in BY_NATURE or "_over" in column or column.startswith("over_")
                if values.dtype.kind == "U" or column.endswith("_se") or by_nature:
                    continue
                empty = [set(np.unique(values[group])) <= {0.0, -1.0, np.inf} for group in groups]
                if any(empty) and not all(empty):
                    filled.append((part, kind, column))
    assert filled == []
