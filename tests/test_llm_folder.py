"""A training run's folder when files in it are damaged, of another kind or in the way, and when the disk is full."""

import json
import os
import resource
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from banditlab.command.training.folder import Folder
from banditlab.errors import CommandLineError
from banditlab.llm import checkpoint
from banditlab.llm.checkpoint import CheckpointError

TREE = {"weights": jnp.linspace(0.0, 1.0, 2000), "number": jnp.asarray(3)}
DEEP = "[" * 200_000


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with checkpoint 3 in it."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoint.save(folder, 3, TREE, {"metrics.jsonl": "abc"})
    return folder


def test_a_checkpoint_gives_back_its_arrays_and_what_lies_beside_it(saved):
    found = checkpoint.restore(saved, 3, TREE)
    np.testing.assert_array_equal(found["weights"], TREE["weights"])
    assert checkpoint.beside(saved, 3) == {"metrics.jsonl": "abc"}


def manifest(change):
    def damage(path):
        file = path / "manifest.json"
        file.write_text(change(json.loads(file.read_text())))

    return damage


def arrays(damage):
    def of_largest(path):
        files = [file for file in path.rglob("*") if file.is_file() and file.name != "manifest.json"]
        damage(max(files, key=lambda file: file.stat().st_size))

    return of_largest


def in_place_of(make):
    def damage(file):
        file.unlink()
        make(file)

    return damage


def without_arrays(path):
    manifest(lambda found: json.dumps(found | {"files": {}}))(path)
    for file in path.iterdir():
        if file.name != "manifest.json":
            shutil.rmtree(file) if file.is_dir() else file.unlink()


DAMAGED = {
    "manifest without an end": manifest(lambda found: DEEP),
    "manifest of another kind": manifest(lambda found: json.dumps({"files": []})),
    "manifest of lists": manifest(lambda found: json.dumps(found | {"files": [1]})),
    "manifest of numbers": manifest(lambda found: "3"),
    "manifest that is empty": manifest(lambda found: ""),
    "manifest is a folder": lambda path: in_place_of(lambda file: file.mkdir())(path / "manifest.json"),
    "manifest is a pipe": lambda path: in_place_of(os.mkfifo)(path / "manifest.json"),
    "no arrays, as the manifest says": without_arrays,
    "arrays are a pipe": arrays(in_place_of(os.mkfifo)),
    "arrays are endless": arrays(in_place_of(lambda file: file.symlink_to("/dev/zero"))),
    "arrays are a folder": arrays(in_place_of(lambda file: file.mkdir())),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_checkpoint_is_one_line_that_names_it(saved, tmp_path, capfd, how):
    path = shutil.copytree(saved, tmp_path / "copy") / "3"
    DAMAGED[how](path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.restore(path.parent, 3, TREE)
    assert str(caught.value).startswith(f"checkpoint '{path}' is truncated or damaged (")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_full_disk_is_one_line_and_leaves_the_checkpoints_before(tmp_path, capfd):
    checkpoint.save(tmp_path, 1, TREE)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, usual[1]))  # what any file may hold
    try:
        with pytest.raises(CheckpointError) as caught:
            checkpoint.save(tmp_path, 2, TREE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert str(caught.value) == f"checkpoint '{tmp_path / '2'}' cannot be written (File too large)"
    assert capfd.readouterr().err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    checkpoint.save(tmp_path, 2, TREE)
    assert checkpoint.numbers(tmp_path) == [1, 2]


def test_every_file_and_folder_of_a_checkpoint_is_flushed_before_it_has_its_name(tmp_path, monkeypatch):
    flush, flushed = os.fsync, {}

    def fsync(descriptor):
        flushed.setdefault(os.fstat(descriptor).st_ino, (tmp_path / "1").exists())
        flush(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    checkpoint.save(tmp_path, 1, TREE)
    inside = {path.stat().st_ino for path in [tmp_path / "1", *(tmp_path / "1").rglob("*")]}
    assert flushed == {**dict.fromkeys(inside, False), tmp_path.stat().st_ino: True}


def test_only_folders_with_the_name_of_a_number_are_checkpoints(tmp_path):
    for name in ("7", "12", "007", "٣", "1e3", "9" * 200, "4.saving"):
        (tmp_path / name).mkdir()
    (tmp_path / "15").touch()
    assert checkpoint.numbers(tmp_path) == [7, 12]


def make_link(path):
    (path.parent / "elsewhere").write_text("mine")
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rounds", lambda path: path.touch()),
        ("pretraining", lambda path: path.touch()),
        ("config.json", lambda path: path.mkdir()),
        ("config.json", os.mkfifo),
        ("metrics.jsonl", lambda path: path.mkdir()),
        ("metrics.jsonl", os.mkfifo),
        (".lock", lambda path: path.mkdir()),
        (".lock", os.mkfifo),
        (".lock", make_link),
    ],
)
def test_what_has_the_place_of_a_runs_file_is_named_and_left_alone(tmp_path, name, make):
    make(tmp_path / name)
    message = rf"^--out '.*' must be a run's folder; '.*{name}' is no "
    with pytest.raises(CommandLineError, match=message) as caught, Folder(tmp_path).held():
        pytest.fail("held")
    assert "\n" not in str(caught.value)
    if make is make_link:
        assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", '"ab"', '[["a", 1]]', "null", DEEP])
def test_a_damaged_configuration_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CommandLineError, match="has a damaged config.json, which .*; use another folder"):
        Folder(tmp_path).claim({"seed": 0})


def test_a_configuration_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    folder = Folder(tmp_path)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'config.json'}'"):
        folder.claim({"seed": 0})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    folder.claim({"seed": 0})
    folder.claim({"seed": 0})
    assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 0}


def metrics_of(folder):
    writer = Folder(folder)
    for number in range(3):
        writer.record({"round": number, "gap": 0.5})
    return writer.digest


def test_metrics_are_cut_to_the_checkpoint_and_go_on_under_one_digest(tmp_path):
    first = Folder(tmp_path)
    first.record({"round": 0, "gap": 1.0})
    digest = first.digest
    first.record({"round": 1, "gap": 0.5})
    second = Folder(tmp_path)
    second.rewind(0, digest)
    second.record({"round": 1, "gap": 0.5})
    assert second.digest == first.digest
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"round": 1, "gap": 0.5', '"round": 1, "gap": 0.4'), "was altered since"),
        (lambda text: text.replace('{"round": 1', DEEP + '{"round": 1'), "lacks rounds of"),
        (lambda text: text.replace('{"round": 2', "3\n"), "lacks rounds of"),
        (lambda text: text.rsplit("\n", 2)[0], "lacks rounds of"),
        (lambda text: "", "lacks rounds of"),
    ],
)
def test_altered_metrics_are_refused(tmp_path, change, message):
    digest = metrics_of(tmp_path)
    file = tmp_path / "metrics.jsonl"
    file.write_text(change(file.read_text()))
    with pytest.raises(CommandLineError, match=f"{message} the checkpoint of round 2; use another folder"):
        Folder(tmp_path).rewind(2, digest)
