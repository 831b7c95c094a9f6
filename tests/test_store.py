"""Shards, tables and provenance: what is read back is what was written, or it is refused."""

import itertools
import json
import sys
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import experiments
from banditlab.store import Shards, Table, config_hash, origin_record, source_hash, write_atomically
from banditlab.store import sources as source_walk


@dataclass(frozen=True)
class Config:
    num_seeds: int = 4
    radius: float = float("inf")


def make_shards(folder, **changes):
    events = []
    key = {"experiment": "toy", "config_hash": "c" * 64, "source_hash": "s" * 64} | changes
    return Shards(folder, **key, listener=lambda event, detail: events.append((event, detail))), events


def count_calls(values):
    calls = []

    def compute():
        calls.append(1)
        return {"kl": np.asarray(values)}

    return compute, calls


@given(
    st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=8),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=8, max_size=8),
)
def test_table_reads_back_the_very_same_numbers(tmp_path_factory, floats, integers):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    table = Table({"value": floats, "count": integers[: len(floats)], "arm": 'on-policy, "fresh"\nπ'})
    table.write(path)
    found = Table.read(path)
    assert found.to_csv() == table.to_csv()
    assert {name: values.dtype.kind for name, values in found.columns.items()} == {
        "value": "f",
        "count": "i",
        "arm": "U",
    }
    np.testing.assert_array_equal(found["value"].view(np.int64), table["value"].view(np.int64))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kl": [1.0, float("nan")]}, "column kl must hold no nan"),
        ({"kl": [1.0], "n": [1, 2]}, "equal lengths"),
        ({"kl": []}, "at least one row"),
        ({}, "at least one row"),
        ({"kl": [[1.0]]}, "one-dimensional"),
        ({"arm": ["1", "2"]}, "text that reads as numbers"),
        ({"arm": [None]}, "strings, integers or floats"),
    ],
)
def test_table_refuses_what_it_could_not_give_back(columns, message):
    with pytest.raises(ValueError, match=message):
        Table(columns)


def test_table_selects_rows_and_never_returns_none_of_them():
    table = Table.stack([Table({"arm": arm, "n": [10, 20]}) for arm in ("offline", "uniform")])
    assert table.where(arm="uniform", n=20)["n"].tolist() == [20]
    with pytest.raises(ValueError, match=r"where must match .*'offline', 'uniform'.*got .*'offlin'"):
        table.where(arm="offlin")
    with pytest.raises(ValueError, match="column must be one of arm, n; got 'kl'"):
        table["kl"]
    with pytest.raises(ValueError, match="rows must all have the columns"):
        Table.from_rows([{"n": 1}, {"m": 1}])


def test_finished_shard_is_read_back_not_computed_again(tmp_path):
    compute, calls = count_calls([1.5, np.inf])
    for expected in ((1, 0), (0, 1)):
        shards, _ = make_shards(tmp_path)
        arrays = shards.get("offline n=1/2", (0, 8), compute)
        np.testing.assert_array_equal(arrays["kl"], [1.5, np.inf])
        assert (shards.computed, shards.reused) == expected
        assert shards.seeds == {"offline n=1/2": (0, 8)}
    assert len(calls) == 1


@pytest.mark.parametrize(
    "change",
    [{"arm": "uniform"}, {"seeds": (8, 16)}, {"source_hash": "x" * 64}, {"experiment": "other"}],
    ids=lambda change: next(iter(change)),
)
def test_shard_of_another_key_is_not_reused(tmp_path, change):
    compute, calls = count_calls([1.0])
    for asked in ({}, change):
        key = {name: value for name, value in asked.items() if name in ("source_hash", "experiment")}
        shards, _ = make_shards(tmp_path, **key)
        shards.get(asked.get("arm", "offline"), asked.get("seeds", (0, 8)), compute)
    assert len(calls) == 2


def truncate(npz):
    npz.write_bytes(npz.read_bytes()[:-9])


def flip_a_bit(npz):
    content = bytearray(npz.read_bytes())
    content[len(content) // 2] ^= 1
    npz.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        lambda npz: npz.unlink(),
        lambda npz: npz.with_suffix(".json").unlink(),
        lambda npz: npz.with_suffix(".json").write_text("{"),
        lambda npz: npz.with_suffix(".json").write_text("[]"),
    ],
    ids=["truncated", "one bit", "no arrays", "no sidecar", "sidecar cut short", "sidecar of another kind"],
)
def test_damaged_shard_is_reported_and_computed_again(tmp_path, damage):
    compute, calls = count_calls([1.0, 2.0])
    make_shards(tmp_path)[0].get("offline", (0, 8), compute)
    (npz,) = tmp_path.glob("*.npz")
    damage(npz)
    shards, events = make_shards(tmp_path)
    np.testing.assert_array_equal(shards.get("offline", (0, 8), compute)["kl"], [1.0, 2.0])
    assert len(calls) == 2
    assert [event for event, _ in events] == ["started", "corrupt", "computed"]
    assert str(npz) in events[1][1]
    healed, events = make_shards(tmp_path)
    healed.get("offline", (0, 8), compute)
    assert [event for event, _ in events] == ["started", "reused"]


def test_shard_refuses_nan_bad_ranges_and_ambiguous_arms_and_leaves_nothing(tmp_path):
    shards, _ = make_shards(tmp_path)
    with pytest.raises(ValueError, match=r"offline: kl must hold no nan; got 1 of 2"):
        shards.get("offline", (0, 8), lambda: {"kl": np.asarray([np.nan, 1.0])})
    with pytest.raises(ValueError, match="uniform: kl must be an array of booleans, numbers or strings"):
        shards.get("uniform", (0, 8), lambda: {"kl": [None]})
    with pytest.raises(ValueError, match=r"seeds must be \(start, stop\)"):
        shards.get("design", (8, 8), dict)
    with pytest.raises(ValueError, match="asked for once"):
        shards.get("offline", (0, 8), dict)
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    write_atomically(path, b"old")

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_bytes() == b"old"


def test_config_hash_follows_the_values():
    assert config_hash(Config()) == config_hash({"radius": float("inf"), "num_seeds": 4})
    distinct = [Config(), Config(num_seeds=5), Config(radius=1.0), Config(radius=1)]
    for first, second in itertools.combinations(distinct, 2):
        assert config_hash(first) != config_hash(second)
    with pytest.raises(ValueError, match="numbers other than nan"):
        config_hash(Config(radius=float("nan")))


def test_record_is_strict_json_with_every_fact(tmp_path):
    record = origin_record(
        experiment="toy",
        preset="smoke",
        config=Config(),
        source_hash="s" * 64,
        csv=b"a\n1\n",
        checkout=tmp_path,
        meta={"failures": {"nonfinite": 0}, "note": (1, 2)},
        device="cpu",
        seeds={"offline": (0, 8)},
    )
    assert record["config"] == {"num_seeds": 4, "radius": "inf"}
    assert record["failures"] == {"nonfinite": 0}
    assert record["seeds"] == {"offline": [0, 8]}
    assert record["commit"] is None  # a folder outside any repository
    assert set(record["versions"]) == {"python", "banditlab", "jax", "jaxlib", "numpy", "scipy"}
    assert json.loads(json.dumps(record, allow_nan=False)) == record


CLAIM = '''
"""A claim."""
import experiments.parts as parts
from experiments.parts import steps
from experiments import drawing_parts

SCALE = 2
UNUSED = 3

class Config:
    pass

def run(config):
    """Measure."""
    return parts.measure(SCALE) + steps.walk()

def check(table):
    return drawing_parts.draw(table) + UNUSED
'''


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Write modules of a package that the walk takes for ours, and import the one that holds `run`."""
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        source_walk._file.cache_clear()

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("experiments."):
            del sys.modules[name]
            vars(experiments).pop(name.split(".")[1], None)
    source_walk._file.cache_clear()


def test_source_hash_changes_with_what_the_result_depends_on_and_nothing_else(write_module):
    files = {
        "claim.py": CLAIM,
        "parts/__init__.py": "from .measures import measure\nfrom experiments.parts.rest import *\n",
        "parts/measures.py": "import experiments.deep\ndef measure(x): return experiments.deep.add(x, 1)\n",
        "parts/rest.py": "def other():\n    return 0\n",
        "parts/steps.py": "def walk():\n    from ..deep import add\n    return add(1, 1)  # one\n",
        "deep.py": "def add(x, y):\n    return x + y\n",
        "drawing_parts.py": "def draw(table):\n    return 0\n",
    }
    for name, text in files.items():
        write_module(name, text)
    claim = import_module("experiments.claim")

    def hash_with(name, old, new):
        assert old in files[name]
        write_module(name, files[name].replace(old, new))
        found = source_hash(claim.run, claim.Config)
        write_module(name, files[name])
        return found

    original = source_hash(claim.run, claim.Config)
    assert set(source_walk.source_texts(claim.run, claim.Config)) == {
        "experiments.claim",
        "experiments.parts.measures",
        "experiments.parts.steps",
        "experiments.deep",
    }
    assert hash_with("claim.py", "SCALE = 2", "SCALE = 4") != original
    assert hash_with("parts/measures.py", "1)", "2)") != original
    assert hash_with("parts/steps.py", "(1, 1)", "(1, 2)") != original
    assert hash_with("deep.py", "x + y", "x - y") != original

    assert hash_with("claim.py", "UNUSED = 3", "UNUSED = 4") == original
    assert hash_with("claim.py", "Measure.", "Measure twice.\n\n    Cut once.") == original
    assert hash_with("parts/steps.py", "# one", "# two") == original
    assert hash_with("parts/rest.py", "return 0", "return 1") == original
    assert hash_with("drawing_parts.py", "return 0", "return 1") == original
