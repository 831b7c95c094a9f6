"""Shards, tables and provenance: what is read back is what was written, or it is refused."""

import itertools
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditlab.store import Piece, Shards, Table, config_hash, failures, origin_record, write_atomically
from banditlab.store.shards import digest


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
        (piece,) = shards.pieces
        assert (piece.arm, piece.seeds) == ("offline n=1/2", (0, 8))
        assert piece.arrays == {"kl": ("<f8", (2,))}
        assert piece.digest == digest({"kl": np.asarray([1.5, np.inf])})
    assert len(calls) == 1


def test_failures_travel_with_their_shard_and_apart_from_its_arrays(tmp_path):
    def compute():
        return {"kl": np.ones(2)} | failures({"nonfinite": np.asarray([1, 0, 2]), "separable": 0})

    for _ in range(2):  # computed, and read back
        shards, _ = make_shards(tmp_path)
        assert set(shards.get("offline", (0, 2), compute)) == {"kl"}
        shards.get("offline", (2, 4), compute)
        assert shards.failures == {"offline": {"nonfinite": 6, "separable": 0}}
    assert shards.reused == 2


def test_digest_is_of_names_dtypes_shapes_and_bytes():
    arrays = {"kl": np.arange(4.0), "arm": np.asarray(["a"])}
    assert digest(arrays) == digest(dict(reversed(arrays.items())))
    assert digest(arrays) == digest(arrays | {"kl": np.asfortranarray(np.arange(8.0).reshape(4, 2))[:, 0] / 2})
    for other in (np.arange(4.0) + 1e-16 * np.arange(4.0) * 4, np.arange(4), np.arange(4.0).reshape(2, 2)):
        assert digest(arrays) != digest(arrays | {"kl": other})
    assert digest(arrays) != digest({"gap": arrays["kl"], "arm": arrays["arm"]})


def test_seconds_of_a_reused_shard_are_those_of_its_computation(tmp_path):
    compute, _ = count_calls([1.0])
    first, _ = make_shards(tmp_path)
    first.get("offline", (0, 8), compute)
    second, _ = make_shards(tmp_path)
    second.get("offline", (0, 8), compute)
    assert second.pieces == first.pieces
    assert second.reused_seconds == first.pieces[0].seconds > 0
    assert (first.reused_seconds, first.of_other_keys(), second.of_other_keys()) == (0.0, 0, 0)
    assert make_shards(tmp_path, source_hash="x" * 64)[0].of_other_keys() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"arm": "uniform"},
        {"seeds": (8, 16)},
        {"source_hash": "x" * 64},
        {"experiment": "other"},
        {"circumstances": {"precision": "float32"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_shard_of_another_key_is_not_reused(tmp_path, change):
    compute, calls = count_calls([1.0])
    for asked in ({}, change):
        key = {name: value for name, value in asked.items() if name in ("source_hash", "experiment", "circumstances")}
        shards, _ = make_shards(tmp_path, **key)
        shards.get(asked.get("arm", "offline"), asked.get("seeds", (0, 8)), compute)
    assert len(calls) == 2


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
    with pytest.raises(ValueError, match=r"arm must have a name of at most \d+ letters; got 'aaaaaaaaaaaaaaaaaaaa'..."):
        shards.get("a" * 300, (0, 8), pytest.fail)
    (tmp_path / shards._path("design", (0, 8)).name).mkdir()
    with pytest.raises(OSError, match="a folder is where a shard is to be written"):
        shards.get("design", (0, 8), pytest.fail)
    assert [path.is_dir() for path in tmp_path.iterdir()] == [True]


def test_arrays_of_a_shard_may_have_any_name(tmp_path):
    names = ["file", "args", "allow_pickle", "a/b.npy", "arr_0", ""]
    for computed in (1, 0):
        shards, _ = make_shards(tmp_path)
        arrays = shards.get("offline", (0, 8), lambda: {name: np.arange(len(name)) for name in names})
        assert {name: values.size for name, values in arrays.items()} == {name: len(name) for name in names}
        assert shards.computed == computed
    with np.load(next(tmp_path.glob("*.npz"))) as archive:  # a file like any other
        assert archive["file"].tolist() == [0, 1, 2, 3]


def test_writers_of_one_store_do_not_disturb_one_another(tmp_path):
    start, warned = threading.Barrier(8), []

    def write(_):
        shards, events = make_shards(tmp_path)
        start.wait(30)
        for number in range(20):
            found = shards.get(f"n={number}", (0, 2), lambda number=number: {"kl": np.full(2, number)})
            np.testing.assert_array_equal(found["kl"], number)
        warned.extend(event for event in events if event[0] == "corrupt")

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(write, range(8)))) == 8
    assert warned == []
    assert len(list(tmp_path.iterdir())) == 20


def test_file_then_name_are_flushed_before_a_write_returns(tmp_path, monkeypatch):
    flushed = []

    def fsync(descriptor):
        named = [path.name for path in tmp_path.iterdir() if path.suffix == ".csv"]
        flushed.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), named))

    monkeypatch.setattr("os.fsync", fsync)
    write_atomically(tmp_path / "t.csv", b"1")
    assert flushed == [(False, []), (True, ["t.csv"])]


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


@dataclass(frozen=True)
class Nested:
    inner: Config = field(default_factory=Config)
    steps: int = 10


def test_config_hash_is_of_the_values_that_differ_from_their_defaults():
    distinct = [Config(), Config(num_seeds=5), Config(radius=1.0), Config(radius=1)]
    for first, second in itertools.combinations(distinct, 2):
        assert config_hash(first) != config_hash(second)
    assert config_hash(Config()) == config_hash(Config(num_seeds=4)) == config_hash({})
    assert config_hash(Config(num_seeds=5)) == config_hash({"num_seeds": 5})
    assert config_hash(Nested(inner=Config(num_seeds=5))) == config_hash({"inner": {"num_seeds": 5}})
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="numbers other than nan"):
        config_hash(Config(radius=float("nan")))


def test_record_is_strict_json_with_every_fact(tmp_path):
    record = origin_record(
        experiment="toy",
        preset="smoke",
        config=Config(),
        source_hash="s" * 64,
        tables={"": {"sha256": "t" * 64, "rows": np.int64(1)}},
        folder=tmp_path,
        watched=(".",),
        device="cpu",
        shards=[Piece("offline", (0, 8), "d" * 64, 0.5, {"kl": ("<f8", (8,))})],
    )
    assert record["config"] == {"num_seeds": 4, "radius": "inf"}
    assert record["shards"] == [
        {"arm": "offline", "seeds": [0, 8], "digest": "d" * 64, "seconds": 0.5, "arrays": {"kl": ["<f8", [8]]}}
    ]
    assert record["commit"] is None  # a folder outside any repository
    assert set(record["versions"]) == {"python", "banditlab", "jax", "jaxlib", "numpy", "scipy"}
    assert json.loads(json.dumps(record, allow_nan=False)) == record
