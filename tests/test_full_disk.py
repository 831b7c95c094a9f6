"""Disks that are full, folders in the way of files, processes that are ended: one line, and nothing half-written."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import small_claim

from banditlab.claims.side_by_side import side_by_side
from banditlab.command.main import leave
from banditlab.errors import CommandLineError, require_writable
from banditlab.store import Shards, files, stopping, write_atomically
from experiments import CHECKOUT


@pytest.fixture
def claim(tmp_path, monkeypatch, capsys):
    yield from small_claim.commands(tmp_path, monkeypatch, capsys)


def full_after(count, monkeypatch):
    """Let ``count`` files be flushed, and none after them."""
    flush, flushed = os.fsync, []

    def fsync(descriptor):
        flushed.append(descriptor)
        if len(flushed) > count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    monkeypatch.setattr("os.fsync", fsync)


def litter(folder):
    return [path.name for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize("count", [0, 1, 4, 8])
def test_a_full_disk_ends_a_run_in_one_line_and_the_next_goes_on(claim, tmp_path, monkeypatch, count):
    with monkeypatch.context() as patch:
        full_after(count, patch)
        code, _, error = claim("run")
    assert code == 2
    assert re.fullmatch(r"error: --output must be a writable folder; .*\(No space left on device\)\n", error)
    assert not litter(tmp_path)
    assert not list(tmp_path.rglob("means.json"))
    assert claim("run")[0] == 0
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    assert claim("verify")[0] == 0


def test_a_full_disk_is_found_before_anything_is_computed(tmp_path, monkeypatch):
    full_after(0, monkeypatch)
    with pytest.raises(
        CommandLineError, match=r"--out must be a writable folder; got '.*' \(No space left on device\)"
    ):
        require_writable("--out", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_atomically, files.append], ids=lambda write: write.__name__)
def test_an_error_of_the_disk_names_the_file(tmp_path, monkeypatch, write):
    full_after(0, monkeypatch)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'a.csv'}'"):
        write(tmp_path / "a.csv", b"1")


@pytest.mark.parametrize("name", ["means.csv", "means.json", "means.part.csv"])
def test_a_folder_in_the_way_of_a_table_is_found_before_computing(claim, tmp_path, name):
    (tmp_path / "results/default" / name).mkdir(parents=True)
    code, _, error = claim("run")
    assert code == 2
    assert error.startswith("error: --output must leave room for its files; '")
    assert error.endswith(f"{name}' is a folder\n")
    assert not list(tmp_path.rglob("*.npz"))


def test_a_folder_in_the_way_of_the_last_claim_is_found_before_the_first_is_computed(claim, tmp_path):
    other = tmp_path / "other_means.py"
    other.write_text(small_claim.CLAIM)
    (tmp_path / "results/default/other_means.json").mkdir(parents=True)
    code, _, error = claim("run", str(other))
    del sys.modules["other_means"]
    assert (code, error.count("\n")) == (2, 1)
    assert error.endswith("other_means.json' is a folder\n")
    assert not list(tmp_path.rglob("*.npz"))


def test_a_folder_in_the_way_of_a_shard_or_a_figure_is_one_line(claim, tmp_path):
    assert claim("run")[0] == 0
    (shard, *_) = sorted(tmp_path.rglob("*.npz"))
    shard.unlink()
    shard.mkdir()
    code, _, error = claim("run")
    assert code == 2
    assert f"'{shard}' cannot be written (a folder is where a shard is to be written)" in error
    (tmp_path / "results/default/means.pdf").mkdir()
    code, _, error = claim("figures")
    assert (code, error.count("\n")) == (2, 1)
    assert error.endswith("means.pdf' is a folder\n")
    assert not (tmp_path / "results/default/means.png").exists()


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    (tmp_path / ".banditlab-0123.part").write_bytes(b"half")
    (tmp_path / ".other.part").write_bytes(b"of another program")
    (tmp_path / ".banditlab-4567.part").symlink_to(tmp_path / ".other.part")
    with files._temporary(tmp_path) as living:
        write_atomically(tmp_path / "a.csv", b"1")
        kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"a.csv", ".other.part", ".banditlab-4567.part", os.path.basename(living.name)}


def test_permissions_of_a_file_are_those_of_any_other(tmp_path):
    usual = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.csv", b"1")
    finally:
        os.umask(usual)
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_one_line(claim, tmp_path, monkeypatch, number, code):
    def stop_at_two(*arguments):
        if arguments[0] == 2:
            signal.raise_signal(number)
        return np.ones(arguments)

    monkeypatch.setattr(np, "full", lambda shape, value: stop_at_two(value) if value == 2 else np.ones(shape) * value)
    # pytest's workers ignore Ctrl-C.
    usual = signal.signal(number, {signal.SIGINT: signal.default_int_handler}.get(number, signal.SIG_DFL))
    before = signal.getsignal(number)
    try:
        found, _, error = claim("run")
    finally:
        assert signal.signal(number, usual) == before
    assert (found, error) == (code, "interrupted; finished shards are kept and will be reused\n")
    stopping.check()  # the next run may begin
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    assert not litter(tmp_path)
    monkeypatch.undo()
    assert claim("run")[0] == 0
    assert len(list(tmp_path.rglob("*.npz"))) == 3


def test_a_signal_that_python_drops_is_not_lost(capsys):
    class Dropping:
        def __del__(self):  # errors here are only reported
            signal.raise_signal(signal.SIGTERM)

    with stopping.listening():
        thing = Dropping()
        del thing
        with pytest.raises(KeyboardInterrupt):
            stopping.check()
    assert capsys.readouterr().err == ""


def test_a_process_that_was_stopped_ends_without_waiting_for_its_threads(monkeypatch):
    at_once = []
    monkeypatch.setattr("os._exit", at_once.append)
    for code in (0, 1, 2, 130, 141, 143):
        with pytest.raises(SystemExit) as end:
            leave(code)
        assert end.value.code == code
    assert at_once == [130, 143]


def test_threads_begin_nothing_new_once_a_signal_came(tmp_path):
    begun, both = [], threading.Barrier(2)
    shards = Shards(tmp_path, "toy", "c" * 64, "s" * 64)

    def job(number):
        def compute():
            begun.append(number)
            both.wait(30)
            if number == 0:
                time.sleep(0.2)  # until the main thread waits for the jobs
                os.kill(os.getpid(), signal.SIGTERM)
            assert stopping._asked.wait(30)
            return {"mean": np.ones(2)}

        return lambda: shards.get(f"{number}", (0, 1), compute)

    with pytest.raises(stopping.Terminated), stopping.listening():
        side_by_side([job(number) for number in range(6)])
    assert set(begun) == {0, 1}
    assert len(list(tmp_path.iterdir())) == 2


WRITER = """
import os, pathlib, runpy, sys

# By their files: importing the library takes seconds.
files, stopping = (runpy.run_path(f"banditlab/store/{name}.py") for name in ("files", "stopping"))
folder = pathlib.Path(sys.argv[1])
def fsync(descriptor):
    print("writing", flush=True)
    sys.stdin.read()
os.fsync = fsync
with stopping["listening"]():
    files["write_atomically"](folder / "a.csv", b"half")
"""


def test_a_terminated_writer_leaves_nothing_and_a_killed_ones_litter_goes_at_the_next_write(tmp_path):
    for number, left in ((signal.SIGTERM, 0), (signal.SIGKILL, 1)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert writer.stdout.readline() == b"writing\n"
        assert len(litter(tmp_path)) == 1
        writer.send_signal(number)
        writer.wait(timeout=30)
        assert len(litter(tmp_path)) == left
        writer.stdin.close()
        writer.stdout.close()
    write_atomically(tmp_path / "b.csv", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["b.csv"]
