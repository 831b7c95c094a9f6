"""`python -m banditlab.llm`: stopped and resumed to the bit, and every mistake in one line."""

import ast
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import warnings

import jax
import numpy as np
import pytest

from banditlab.command.main import main
from banditlab.command.training import folder
from banditlab.command.training.folder import Folder
from banditlab.llm import checkpoint

CHECKOUT = pathlib.Path(__file__).parents[1]
CLOCK = {"seconds", "tokens_per_second"}
TINY = {
    "task": "min-length",
    "num-symbols": 2,
    "response-length": 2,
    "num-prompts": 1,
    "mode": 1,
    "width": 8,
    "num-layers": 1,
    "num-heads": 1,
    "hidden-width": 8,
    "num-rounds": 3,
    "num-pairs": 16,
    "batch-size": 8,
    "pretraining-steps": 4,
    "pretraining-batch-size": 8,
}


def train(arguments):
    return main(["llm", "train", *arguments])


def words(out, **options):
    given = TINY | {name.replace("_", "-"): value for name, value in options.items()} | {"out": out}
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def rows(out):
    """The metrics without what a clock says."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


def final_arrays(out):
    """The bytes of the last checkpoint, as orbax reads them without being told what to expect."""
    import orbax.checkpoint as ocp

    with warnings.catch_warnings(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        warnings.simplefilter("ignore")  # it says that it was not told
        tree = reader.restore((out / "rounds" / "3").absolute())
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("whole")
    assert train(words(out)) == 0
    return out


@pytest.fixture
def refusal(capsys):
    """A function: the one line of a command line that is refused."""

    def run(arguments):
        capsys.readouterr()
        assert train(arguments) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
        assert not printed.out
        return printed.err

    return run


class Killed(BaseException):
    """Stands for the end of the process."""


def stop_at(patch, when):
    """Make the process end before the first checkpoint for which `when(folder name, number)`."""
    save = checkpoint.save

    def stopping(folder, number, tree, *beside):
        if when(folder.name, number):
            raise Killed
        save(folder, number, tree, *beside)

    patch.setattr(checkpoint, "save", stopping)


def test_metrics_have_a_line_for_the_reference_and_one_for_every_round(whole):
    lines = rows(whole)
    assert [line["round"] for line in lines] == [0, 1, 2, 3]
    assert [line["num_labels"] for line in lines] == [0, 16, 32, 48]
    assert lines[0]["kl_reference"] == 0
    assert lines[0]["win_rate"] == pytest.approx(0.5)
    wanted = "margin log_prob_chosen log_prob_rejected kl_target kl_reference gap win_rate effective_sample_size loss"
    for line in lines[1:]:
        assert set(wanted.split()) <= set(line)
        assert line["objective"] + line["gap"] == pytest.approx(lines[0]["objective"] + lines[0]["gap"])
    timed = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert timed["tokens_per_second"] == pytest.approx(timed["num_tokens"] / timed["seconds"], rel=1e-2)


@pytest.mark.parametrize("stop", [("pretraining", 4), ("rounds", 1), ("rounds", 3)], ids=str)
def test_a_run_that_was_killed_goes_on_to_the_same_bits(whole, tmp_path, stop):
    """The kill falls between a line of metrics and its checkpoint, where the two disagree most."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, lambda *now: now == stop)
        with pytest.raises(Killed):
            train(words(tmp_path))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 9')  # half a line, as a kill may leave it
    (tmp_path / "rounds" / "9.saving.orbax-checkpoint-tmp").mkdir(parents=True)
    assert train(words(tmp_path)) == 0
    assert rows(tmp_path) == rows(whole)
    assert final_arrays(tmp_path) == final_arrays(whole)
    assert sorted(path.name for path in (tmp_path / "rounds").iterdir()) == ["2", "3"]


def test_more_rounds_go_on_where_fewer_ended(whole, tmp_path, capsys):
    assert train(words(tmp_path, num_rounds=1)) == 0
    assert train(words(tmp_path)) == 0
    assert "going on after round 1" in capsys.readouterr().out
    assert rows(tmp_path) == rows(whole)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert train(words(tmp_path)) == 0
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_another_configuration_is_refused_before_anything_is_written(whole, refusal):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    message = refusal(words(whole, learning_rate=0.5))
    assert "holds a run of another configuration, --learning-rate 0.001; got 0.5: use another folder" in message
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def damaged(whole, out):
    """A copy of the finished run, and the largest file of its last checkpoint."""
    subprocess.run(["cp", "-r", f"{whole}/.", out], check=True)
    files = [path for path in (out / "rounds" / "3").rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("how", ["truncated", "altered", "missing", "without manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(whole, tmp_path, refusal, how):
    file = damaged(whole, tmp_path)
    content = file.read_bytes()
    if how == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif how == "altered":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (file if how == "missing" else tmp_path / "rounds" / "3" / "manifest.json").unlink()
    assert f"checkpoint '{tmp_path / 'rounds' / '3'}' is truncated or damaged" in refusal(words(tmp_path))
    if how == "truncated":
        subprocess.run(["rm", "-r", tmp_path / "rounds" / "3"], check=True)
        assert train(words(tmp_path)) == 0
        assert rows(tmp_path) == rows(whole)


def test_metrics_that_lack_a_round_are_refused(whole, tmp_path, refusal):
    damaged(whole, tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert "lacks rounds of the checkpoint of round 3" in refusal(words(tmp_path))


def test_a_changed_number_in_the_metrics_is_refused(whole, tmp_path, refusal):
    damaged(whole, tmp_path)
    file = tmp_path / "metrics.jsonl"
    first, second, *others = file.read_text().splitlines()
    row = json.loads(second)
    file.write_text("\n".join([first, json.dumps(row | {"gap": row["gap"] + 1e-3}), *others, ""]))
    message = refusal(words(tmp_path, num_rounds=4))
    assert f"'{file}' was altered since the checkpoint of round 3" in message


@pytest.mark.parametrize("place", ["metrics.jsonl", "rounds/4"])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(whole, tmp_path, capsys, monkeypatch, place):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path / place))

    damaged(whole, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(*((folder, "append") if place == "metrics.jsonl" else (checkpoint, "_write")), full)
        assert train(words(tmp_path, num_rounds=4)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert f"'{tmp_path / place}' cannot be written (No space left on device)" in error
    if place == "metrics.jsonl":
        assert train(words(tmp_path, num_rounds=4)) == 0
        assert rows(tmp_path)[:4] == rows(whole)


REFUSED = {
    "--task 'min-lenght' is not known; did you mean 'min-length'": {"task": "min-lenght"},
    "--method must be one of offline-dpo, .*; got 'dpo2'": {"method": "dpo2"},
    "--preset must be one of smoke, default, paper; got 'big'": {"preset": "big"},
    "--num-rounds must be a whole number; got '1.5'": {"num_rounds": 1.5},
    "--num-rounds must be a whole number of at least 1; got 0": {"num_rounds": 0},
    "--learning-rate must be positive and finite; got -1.0": {"learning_rate": -1},
    "--beta must be a number; got 'cold'": {"beta": "cold"},
    "--beta must be positive": {"beta": 0},
    "--batch-size must divide num_pairs = 16; got 5": {"batch_size": 5},
    "--pretraining-steps must be a whole number of at least 1; got 0": {"pretraining_steps": 0},
    "--pretraining-batch-size must be a whole number of at least 1; got 0": {"pretraining_batch_size": 0},
    "--num-kl-prompts must be at most batch_size = 8; got 9": {"method": "hypo", "num_kl_prompts": 9},
    "--seed must be a whole number from 0": {"seed": -1},
    "--fresh must be true or false; got 'maybe'": {"method": "offline-dpo", "fresh": "maybe"},
    "--corpus-noise does not apply to --task min-length, which takes --num-symbols": {"corpus_noise": 0.1},
    "--penalty does not apply to --method on-policy-dpo, which takes --oracle": {"penalty": 1},
    "--penalty must be non-negative": {"method": "hypo", "penalty": -1},
    "--compute-dtype 'float8' is not known; did you mean 'float32' or 'bfloat16'": {"compute_dtype": "float8"},
    "--target-prob does not apply to --task min-length": {"target_prob": 0.5},
    "prompt and response must fit context_length = 2; got 1 [+] 2 tokens": {"context_length": 2},
    "--num-key-value-heads must divide num_heads = 1": {"num_key_value_heads": 2},
    "unrecognized options: --nonsense [(]`.* llm train --help`[)]": {"nonsense": 1},
    "--out must be a writable folder; got '/dev/null/x' [(]Not a directory[)]": {},
}


@pytest.mark.parametrize("message", REFUSED)
def test_mistakes_are_refused_in_one_line_before_training(tmp_path, refusal, message):
    out = "/dev/null/x" if "--out" in message else tmp_path / "new"
    assert re.search(message, refusal(words(out, **REFUSED[message])))
    assert not (tmp_path / "new" / "config.json").exists()


def test_two_runs_cannot_write_to_one_folder(whole, refusal):
    with Folder(whole).held():
        assert "is being written to by another run" in refusal(words(whole))


def test_without_orbax_the_extra_is_named(tmp_path, refusal, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    assert "pip install 'banditlab[llm]'" in refusal(words(tmp_path))


def test_orbax_is_imported_by_functions_only():
    for path in (CHECKOUT / "banditlab").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            assert not (isinstance(node, (ast.Import, ast.ImportFrom)) and "orbax" in ast.unparse(node)), path


@pytest.mark.slow
def test_a_process_killed_at_any_moment_goes_on_to_the_same_bits(tmp_path):
    def start(out):
        program = [sys.executable, "-m", "banditlab.llm", *words(tmp_path / out, num_rounds=30)]
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
        return subprocess.Popen(program, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    rng = np.random.default_rng(0)
    for lines in (0, 2, 6, 10):
        process = start("killed")
        while process.poll() is None and count_lines(tmp_path / "killed") < lines:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert start("killed").wait() == 0
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


def count_lines(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
