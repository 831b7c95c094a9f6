"""Whatever is wrong with a file that is read back: shards are computed again, records and tables are one line."""

import io
import json
import os
import re
import sys
import zipfile

import numpy as np
import pytest
import small_claim

from banditlab.claims.result_files import Result, table_entries
from banditlab.store import Shards, Table, sha256_of_bytes
from banditlab.store.shards import digest, packed, unpacked

VALUES = {"kl": np.asarray([1.0, 2.0])}


def make_shards(folder):
    events = []
    return Shards(folder, "toy", "c" * 64, "s" * 64, listener=lambda *event: events.append(event)), events


def archive(arrays):
    """An npz as NumPy writes it."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def with_member(content, change):
    """The same archive with the bytes of its first array changed, the checksums of the format left as they were."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        first = archive.infolist()[0]
        size = len(archive.read(first))
    start = content.index(b"\x93NUMPY")
    return content[:start] + change(content[start : start + size]) + content[start + size :]


def with_record(**changes):
    def damage(npz):
        arrays, record = unpacked(npz.read_bytes())
        npz.write_bytes(packed(arrays, record | changes))

    return damage


def with_text(text):
    def damage(npz):
        npz.write_bytes(archive({**VALUES, "shard record": np.asarray(text)}))

    return damage


def in_place_of(make):
    def damage(npz):
        npz.unlink()
        make(npz)

    return damage


DAMAGED = {
    "truncated": lambda npz: npz.write_bytes(npz.read_bytes()[:-9]),
    "empty": lambda npz: npz.write_bytes(b""),
    "one bit": lambda npz: npz.write_bytes(with_member(npz.read_bytes(), lambda array: array[:-1] + b"\x01")),
    "claims 8 PB": lambda npz: npz.write_bytes(
        archive({"kl": np.ones(2)}).replace(b"(2,)           ", b"(1125899906842,)"[:15].ljust(15))
    ),
    "no archive": lambda npz: npz.write_bytes(b"PK"),
    "no record": lambda npz: npz.write_bytes(archive(VALUES)),
    "another's key": with_record(arm="uniform"),
    "another's digest": with_record(digest="d" * 64),
    "seconds that are none": with_record(compute_seconds=float("nan")),
    "seconds of another kind": with_record(compute_seconds=[1]),
    "other arrays": lambda npz: npz.write_bytes(npz.read_bytes().replace(b"kl.npy", b"gp.npy")),
    "record cut short": with_text(b"{"),
    "record of another kind": with_text(b"[]"),
    "record of numbers": with_text(3),
    "record without an end": with_text(b"[" * 200_000),
    "pipe": in_place_of(os.mkfifo),
    "endless": in_place_of(lambda npz: npz.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_shard_is_reported_and_computed_again(tmp_path, how):
    calls = []

    def compute():
        calls.append(1)
        return VALUES

    make_shards(tmp_path)[0].get("offline", (0, 8), compute)
    (npz,) = tmp_path.iterdir()
    DAMAGED[how](npz)
    shards, events = make_shards(tmp_path)
    np.testing.assert_array_equal(shards.get("offline", (0, 8), compute)["kl"], VALUES["kl"])
    assert len(calls) == 2
    assert [event for event, _ in events] == ["started", "corrupt", "computed"]
    assert events[1][1].startswith(f"shard {npz} cannot be used (")
    assert events[1][1].endswith("); it is computed again")
    healed, events = make_shards(tmp_path)
    healed.get("offline", (0, 8), compute)
    assert [event for event, _ in events] == ["started", "reused"]
    assert list(tmp_path.iterdir()) == [npz]


DEEP = "[" * 200_000
RECORDS = {
    DEEP: "nests more than 64 deep",
    '{"a":' * 100 + "1" + "}" * 100: "nests more than 64 deep",
    "null": "has another shape than a record",
    "3": "has another shape than a record",
    '"x"': "has another shape than a record",
    "": "is empty",
    "{": "is no JSON",
    "9" * 5000: "is no JSON",
    "\xff": "is not in UTF-8",
    '{"tables": {"../../secret": {"sha256": "0"}}}': "has another shape than a record",
    '{"tables": {"": {"sha256": "0", "columns": {"n": {"unit": 3}}}}}': "has another shape than a record",
    '{"tables": {"": {"sha256": "0"}}, "cost": {"wall_seconds": "long"}}': "has another shape than a record",
    '{"tables": {"": {"sha256": "0"}}, "shards": [{"arm": "a"}]}': "has another shape than a record",
    '{"tables": {"": {"sha256": "0"}}, "shards": [{"arm": "a", "seeds": [0, 8], "digest": "d", "arrays": {"x": ["<f9",'
    " [1]]}}]}": "has another shape than a record",
    '{"tables": {"": {"sha256": "0"}}, "shards": [{"arm": "a", "seeds": [0, 8], "digest": "d", "arrays": {"x": ["<f8",'
    " [1000000000000000]]}}]}": "has another shape than a record",
}


@pytest.fixture
def result(tmp_path):
    """An undamaged result."""
    found = Result(tmp_path, "means")
    table = Table({"n": [1, 2], "mean": [0.5, 0.25]})
    words = {name: {"meaning": name} for name in ("n", "mean")}
    found.write(table, {"tables": table_entries(table, {"": words})})
    assert found.damage() is None
    return found


@pytest.mark.parametrize("text", RECORDS, ids=lambda text: text[:30])
def test_a_record_that_is_none_is_damage(result, text):
    result.file(".json").write_bytes(text.encode("latin-1"))
    assert result.damage() == f"without a readable record: means.json {RECORDS[text]}"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is no regular file"),
        (lambda path: path.mkdir(), "is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
        (lambda path: path.write_bytes(b"") or os.truncate(path, 2**27), "is larger than 64 MiB"),
    ],
)
def test_a_record_of_another_kind_of_file_is_damage(result, make, reason):
    in_place_of(make)(result.file(".json"))
    assert result.damage() == f"without a readable record: means.json {reason}"


TABLES = {
    b"": "altered: means.csv is empty",
    b"n,mean\n1,0.5\n2,0.26\n": r"altered: means.csv is not the table of its record \(checksum\)",
    # The record is altered too from here on.
    b"n,mean\n": "altered: means.csv columns must be one-dimensional with at least one row",
    b"n,mean\n1\n": "altered: means.csv .* must be a rectangular CSV",
    b"n,mean\n1,nan\n": "altered: means.csv column mean must hold no nan",
    b"n,mean\n1,\xff\n": "altered: means.csv is not in UTF-8",
    b"n,mean\n1," + b"x" * 140_000: "altered: means.csv is no table: field larger than field limit",
    b"n,mean\n1,9223372036854775808\n": "altered: means.csv is no table: ",
    b"n,mean\n1," + b"9" * 5000: "altered: means.csv Exceeds the limit",
    b"n,average\n1,0.5\n": "altered: means.csv has other columns than its record: average, mean",
}


@pytest.mark.parametrize("content", TABLES, ids=lambda content: content[:30])
def test_a_table_that_is_not_its_records_or_no_table_is_damage(result, content):
    result.csv("").write_bytes(content)
    if "checksum" not in TABLES[content]:
        record = result.record()
        record["tables"][""]["sha256"] = sha256_of_bytes(content)
        result.file(".json").write_text(json.dumps(record))
    found = result.damage()
    assert re.match(TABLES[content], found)
    assert "\n" not in found


@pytest.fixture
def claim(tmp_path, monkeypatch, capsys):
    yield from small_claim.commands(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("suffix", "content", "reason"),
    [
        (".json", DEEP.encode(), "without a readable record: means.json nests more than 64 deep"),
        (".csv", b"n,mean\n1,1\n2,2\n3,4\n", "altered: means.csv is not the table of its record (checksum)"),
    ],
)
def test_every_verb_says_in_a_line_what_is_wrong_with_a_result(claim, tmp_path, suffix, content, reason):
    assert claim("run")[0] == 0
    (tmp_path / f"results/default/means{suffix}").write_bytes(content)
    code, printed, _ = claim("status")
    assert code == 0
    assert f"results {reason}: means\n" in printed
    code, printed, _ = claim("verify")
    assert code == 1
    assert f"FAIL  means [default]: results {reason}; run `" in printed
    for verb in ("show", "figures"):
        code, printed, error = claim(verb)
        assert (code, printed, error.count("\n")) == (2, "", 1)
        assert reason in error
    assert not list(tmp_path.rglob("*.png"))
    assert claim("run")[0] == 0
    assert claim("verify")[0] == 0


def test_a_shard_of_other_arrays_and_a_figure_that_fails_are_lines_with_their_place(claim, tmp_path):
    assert claim("run")[0] == 0
    for npz in tmp_path.rglob("*.npz"):
        arrays, record = unpacked(npz.read_bytes())
        other = {"median": arrays["mean"]}
        npz.write_bytes(packed(other, record | {"digest": digest(other)}))
    code, _, error = claim("run")
    assert (code, error) == (2, "error: means: run failed, means.py, line 18: KeyError: 'mean'\n")
    assert claim("run", "--fresh")[0] == 0
    source = tmp_path / "means.py"
    source.write_text(source.read_text().replace('ax.plot(table["n"]', 'ax.plot(table["m"]'))
    sys.modules.pop("means")
    code, _, error = claim("figures")
    assert (code, error) == (
        2,
        "error: means: plot failed, means.py, line 28: column must be one of n, mean; got 'm'\n",
    )


def test_a_name_is_printed_without_its_escapes(claim, tmp_path):
    code, _, error = claim("run", "--output", f"{tmp_path}/means.py/\x1b]0;title\x07\x1b[2J\u202e\n")
    assert code == 2
    assert error.endswith(r"\x1b]0;title\x07\x1b[2J\u202e\n' (Not a directory)" + "\n")
