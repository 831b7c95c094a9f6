"""Whatever is wrong with a file that is read back: shards are computed again, records and tables are one line."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from banditlab.store import Shards
from banditlab.store.archives import to_bytes
from banditlab.store.shards import unpacked

VALUES = {"kl": np.asarray([1.0, 2.0])}


def make_shards(folder):
    events = []
    return Shards(folder, "toy", "c" * 64, "s" * 64, listener=lambda *event: events.append(event)), events


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
        text = json.dumps(record | changes)
        npz.write_bytes(to_bytes({**arrays, "shard record": np.asarray(text.encode())}))

    return damage


def with_text(text):
    def damage(npz):
        npz.write_bytes(to_bytes({**VALUES, "shard record": np.asarray(text)}))

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
        to_bytes({"kl": np.ones(2)}).replace(b"(2,)           ", b"(1125899906842,)"[:15].ljust(15))
    ),
    "no archive": lambda npz: npz.write_bytes(b"PK"),
    "no record": lambda npz: npz.write_bytes(to_bytes(VALUES)),
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
