"""The command line on a toy experiment: the whole life of a result, and every way it can go wrong."""

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from banditlab.claims import registry
from banditlab.claims.checks import interval
from banditlab.claims.comparison import compare
from banditlab.claims.doctor import mismatches
from banditlab.claims.experiment import Experiment
from banditlab.claims.registry import Collection
from banditlab.command import main
from banditlab.numerics import compilation
from banditlab.store import Table, sha256_of_bytes
from banditlab.store import sources as source_walk
from experiments import CHECKOUT

TOY = '''
"""The mean of n fair coins is 1/2."""

from dataclasses import dataclass

import numpy as np

from banditlab import plotting
from banditlab.claims import Experiment, Shards, Table, interval
from banditlab.store import failures
from banditlab.claims.registry import Collection

HEADS = 0.5


@dataclass(frozen=True)
class Config:
    num_seeds: int
    sizes: tuple[int, ...] = (400, 10_000)


def run(config, shards):
    tables = []
    shards.expect(len(config.sizes))
    for size in config.sizes:
        def draw():
            mean = np.random.default_rng(size).binomial(size, HEADS, config.num_seeds) / size
            return {"mean": mean} | failures({"nonfinite": 0, "on edge": size == 400})
        mean = shards.get(f"n={size}", (0, config.num_seeds), draw)["mean"]
        error = mean.std(ddof=1) / np.sqrt(mean.size)
        tables.append(Table({"arm": "coin", "n": [size], "mean": [mean.mean()], "mean_se": [error]}))
    return Table.stack(tables)


def check(table):
    largest = table.where(n=int(table["n"].max()))
    return [interval("mean of a fair coin", 0.5, largest["mean"][0], largest["mean_se"][0])]


def plot(table):
    figure, ax = plotting.figure()
    ax.plot(table["n"], table["mean"])
    return figure


EXPERIMENT = Experiment(
    claim="The mean of n fair coins tends to 1/2",
    presets={"smoke": Config(64), "default": Config(256), "paper": Config(1024)},
    run=run,
    check=check,
    plot=plot,
    columns={"arm": "what is thrown", "n": "throws [throws]", "mean": "share of heads, mean over seeds"},
)
'''


DIGITS = "9" * 5000
SHOWN = f"'{'9' * 30}...{'9' * 30}'"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A package of claims of its own, outside this checkout, with the toy in it and registered.

    Returns a function: command line -> exit code. ``toys/coins/toy.py`` in the folder is its source.
    """
    (tmp_path / "toys" / "coins").mkdir(parents=True)
    (tmp_path / "toys" / "__init__.py").touch()
    (tmp_path / "toys" / "coins" / "__init__.py").touch()
    (tmp_path / "toys" / "coins" / "toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(registry, "collections", lambda: [Collection("toys", {"coins": ("toy",)})])

    def command(line):
        source_walk._sources.cache_clear()  # every command line is a process of its own
        return main(line.split())

    yield command
    for module in [name for name in sys.modules if name.split(".")[0] == "toys"]:
        del sys.modules[module]
    source_walk._sources.cache_clear()


def test_a_result_from_run_to_committed_figure(toy, tmp_path, capsys):
    assert toy("list") == 0
    listed = capsys.readouterr().out
    assert listed.splitlines() == ["coins (0 s)", f"  {'toy':24}      -  The mean of n fair coins tends to 1/2"]

    assert toy("run") == 0
    assert "2 shards computed, 0 reused" in capsys.readouterr().out
    first = (tmp_path / "results/default/toy.csv").read_bytes()
    record = json.loads((tmp_path / "results/default/toy.json").read_text())
    assert record["config"] == {"num_seeds": 256, "sizes": [400, 10_000]}
    pieces = [(piece["arm"], piece["seeds"], piece["arrays"]["mean"]) for piece in record["shards"]]
    assert pieces == [(f"n={n}", [0, 256], ["<f8", [256]]) for n in (400, 10_000)]
    assert record["failures"] == {"n=400": {"nonfinite": 0, "on edge": 1}, "n=10000": {"nonfinite": 0, "on edge": 0}}
    assert record["tables"][""]["columns"] == {
        "arm": {"meaning": "what is thrown"},
        "n": {"meaning": "throws", "unit": "throws"},
        "mean": {"meaning": "share of heads, mean over seeds"},
        "mean_se": {"meaning": "standard error of: share of heads, mean over seeds"},
    }
    assert {"platform", "device", "dtype", "circumstances", "machine", "commit", "versions"} <= set(record)
    assert record["machine"]["cpu"]
    assert record["commit"] is record["dirty"] is None

    assert toy("verify") == 0  # nothing was ever committed here
    (tmp_path / "figures").mkdir()
    capsys.readouterr()
    assert toy("verify") == 1
    assert "committed table: missing; run it, look at it, then" in capsys.readouterr().out
    assert toy("figures --update") == 0
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        f"toy.{kind}" for kind in ("csv", "json", "pdf", "png", "tex")
    ]

    capsys.readouterr()
    assert toy("run toy") == 0
    assert "0 shards computed, 2 reused" in capsys.readouterr().out
    again = json.loads((tmp_path / "results/default/toy.json").read_text())
    assert again["shards"] == record["shards"]
    assert again["cost"]["shard_seconds"] == record["cost"]["shard_seconds"]  # of the first computation
    assert again["cost"]["wall_seconds"] > again["cost"]["shard_seconds"]
    assert toy("run toy --fresh") == 0
    assert "2 shards computed, 0 reused" in capsys.readouterr().out
    assert (tmp_path / "results/default/toy.csv").read_bytes() == first

    assert toy("verify toy") == 0
    passed, committed, total = capsys.readouterr().out.splitlines()
    assert passed.startswith("pass  toy [default]: mean of a fair coin: predicted 0.5, measured ")
    assert "interval [" in passed
    assert "catches an error of" in passed
    assert committed == "pass  toy [default] committed table: bitwise (2 rows)"
    assert total == "2 passed, 0 failed"

    assert toy("show toy") == 0
    shown = capsys.readouterr().out
    assert "of the present sources" in shown
    assert "failed: n=400, on edge: 1" in shown
    assert "nonfinite" not in shown
    assert "mean_se" in shown
    assert "pass  toy [default]: mean of a fair coin" in shown
    assert toy("status") == 0
    assert capsys.readouterr().out == "coins: 1 claim, 1 computed here, 1 committed and current\n"


def test_a_wrong_constant_fails_verification(toy, monkeypatch, capsys):
    assert toy("run --preset smoke") == 0
    assert toy("verify --preset smoke") == 0
    module = importlib.import_module("toys.coins.toy")
    (check,) = module.check(Table({"n": [1], "mean": [0.5], "mean_se": [0.001]}))
    wrong = 0.5 * (1 + 1.01 * check.power)
    broken = dataclasses.replace(
        module.EXPERIMENT, check=lambda table: [interval("mean of a fair coin", wrong, 0.5, 0.001)]
    )
    monkeypatch.setattr(module, "EXPERIMENT", broken)
    capsys.readouterr()
    assert toy("verify --preset smoke") == 1
    failed, total = capsys.readouterr().out.splitlines()
    assert failed.startswith("FAIL  toy [smoke]: mean of a fair coin: predicted 0.508")
    assert total == "0 passed, 1 failed"


def change(tmp_path, *texts):
    """Write the toy's source with texts replaced, as the next command line finds it."""
    text = TOY
    for old, new in zip(texts[::2], texts[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "toys" / "coins" / "toy.py").write_text(text)
    sys.modules.pop("toys.coins.toy", None)


def test_a_changed_number_makes_results_stale_but_a_changed_check_does_not(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    change(tmp_path, '"mean of a fair coin"', '"mean of the coin"')
    assert toy("verify") == 0
    change(tmp_path, "HEADS = 0.5", "HEADS = 0.25")
    capsys.readouterr()
    assert toy("verify") == 1
    assert "results stale: its sources have changed; run `banditlab run" in capsys.readouterr().out
    assert toy("figures --update") == 2
    assert "stale" in capsys.readouterr().err
    # Fresh results of the changed source do not excuse the committed ones.
    assert toy("run") == 0
    capsys.readouterr()
    assert toy("verify") == 1
    out = capsys.readouterr().out
    assert "FAIL  toy [default]: mean of a fair coin" in out
    assert "FAIL  toy [default] committed table: different (mean" in out
    assert "stale: its sources have changed; run it, look at it" in out


REWRITTEN = "mean.std(ddof=1) / np.sqrt(mean.size)", "mean.std(ddof=1) / mean.size**0.5"


def test_numbers_beat_stamps(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    change(tmp_path, *REWRITTEN)
    assert toy("run") == 0
    capsys.readouterr()
    assert toy("verify") == 0
    note = (
        "bitwise (2 rows); stale: its sources have changed, the numbers have not: "
        "`banditlab figures toy --preset default --update` renews the stamp"
    )
    assert note in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == before
    assert toy("figures --update") == 0
    assert "stamp renewed" in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["toy.json"]
    old, new = (json.loads(files["toy.json"]) for files in (before, after))
    assert old["source_hash"] != new["source_hash"]
    fresh = json.loads((tmp_path / "results/default/toy.json").read_text())
    least = min((old["cost"], fresh["cost"]), key=lambda cost: cost["wall_seconds"])
    assert new["cost"] == least  # other work on the machine only adds to it
    assert toy("verify") == 0
    assert "renews" not in capsys.readouterr().out


def edit_record(path, **changes):
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in (record | changes).items() if value is not None}))


def test_a_committed_record_of_a_dirty_tree_or_of_the_older_rule_is_known(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    path = tmp_path / "figures/toy.json"
    edit_record(path, dirty=True)
    assert toy("verify") == 1
    assert "committed table: made from a tree that differed from its commit" in capsys.readouterr().out
    edit_record(path, dirty=False, source_hash="c0cb193d" * 8)
    assert toy("verify") == 0
    assert "since they were hashed by module, the numbers have not" in capsys.readouterr().out


def test_agreement_on_another_processor_renews_the_stamp_and_keeps_the_numbers(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    table, record = tmp_path / "figures/toy.csv", tmp_path / "figures/toy.json"
    kept = Table.read(table)
    Table({**kept.columns, "mean": kept["mean"] * (1 + 1e-14)}).write(table)
    content = table.read_bytes()
    tables = json.loads(record.read_text())["tables"]
    tables[""]["sha256"] = sha256_of_bytes(content)
    edit_record(
        record, tables=tables, machine={"cpu": "another"}, source_hash="c0cb193d" * 8, config_hash="an older rule's"
    )
    assert toy("run --fresh") == 0
    capsys.readouterr()
    assert toy("figures --update") == 0
    assert "toy [default]: agrees (within tolerance), stamp renewed -> " in capsys.readouterr().out
    assert table.read_bytes() == content
    assert toy("verify") == 0
    assert "; computed elsewhere at None: within tolerance (mean by " in capsys.readouterr().out
    assert toy("status") == 0
    assert "1 committed and current" in capsys.readouterr().out
    change(tmp_path, "HEADS = 0.5", "HEADS = 0.5 + 0.0")
    assert toy("status") == 0
    assert "0 committed and current" in capsys.readouterr().out


def test_other_draws_are_committed_anew_on_another_processor_too(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    edit_record(tmp_path / "figures/toy.json", machine={"cpu": "another"})
    change(tmp_path, "default_rng(size)", "default_rng(size + 7)")
    assert toy("run") == 0
    capsys.readouterr()
    assert toy("figures --update") == 0
    assert "toy [default]: committed -> " in capsys.readouterr().out
    assert (tmp_path / "figures/toy.csv").read_bytes() == (tmp_path / "results/default/toy.csv").read_bytes()


def test_a_table_of_another_processor_is_counted_apart_and_one_of_this_is_a_failure(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    table = Table.read(tmp_path / "figures/toy.csv")
    moved = Table({**table.columns, "mean": table["mean"] + 10 * table["mean_se"]})
    moved.write(tmp_path / "figures/toy.csv")
    edit_record(tmp_path / "figures/toy.json", tables={"": {"sha256": sha256_of_bytes(moved.to_csv())}})
    assert toy("verify") == 1
    edit_record(tmp_path / "figures/toy.json", machine={"cpu": "another"})
    capsys.readouterr()
    assert toy("verify") == 0
    out = capsys.readouterr().out
    assert "elsewhere  toy [default] committed table: computed on another processor or release, mean by 7.1" in out
    assert out.splitlines()[-1] == "1 passed, 0 failed, 1 elsewhere"


def test_float32_tables_are_never_compared_or_committed(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    edit_record(tmp_path / "results/default/toy.json", dtype="float32")
    capsys.readouterr()
    assert toy("verify") == 0
    out = capsys.readouterr().out
    assert "not compared  toy [default] committed table: float32 results are not compared" in out
    assert out.splitlines()[-1] == "1 passed, 0 failed, 1 not compared"
    assert toy("figures --update") == 2
    assert "--update must be of float64 results; got float32" in capsys.readouterr().err


def test_a_paper_table_of_older_sources_is_outdated_and_its_checks_are_asked(toy, tmp_path, capsys):
    for preset in ("default", "paper"):
        assert toy(f"run --preset {preset}") == 0
        assert toy(f"figures --update --preset {preset}") == 0
    edit_record(tmp_path / "figures/paper/toy.json", commit="abc" * 10)
    change(tmp_path, *REWRITTEN)
    assert toy("run") == 0
    capsys.readouterr()
    assert toy("verify") == 0
    out = capsys.readouterr().out
    assert "outdated  toy [paper]: committed table, outdated since abcabcabcabc: its sources have changed" in out
    assert "pass  toy [paper]: mean of a fair coin" in out
    # A check that fails there, or lacks a column, is counted and does not fail.
    table = Table.read(tmp_path / "figures/paper/toy.csv")
    wrong = Table({**table.columns, "mean": table["mean"] + 0.1})
    wrong.write(tmp_path / "figures/paper/toy.csv")
    edit_record(tmp_path / "figures/paper/toy.json", tables={"": {"sha256": sha256_of_bytes(wrong.to_csv())}})
    assert toy("verify") == 0
    out = capsys.readouterr().out
    assert "outdated  toy [paper]: mean of a fair coin: predicted 0.5, measured 0.6" in out
    assert out.splitlines()[-1] == "2 passed, 0 failed, 2 outdated"
    wider = (
        '"mean_se": [error]',
        '"mean_se": [error], "size": [size]',
        '"n": "throws [throws]"',
        '"n": "throws [throws]", "size": "throws [throws]"',
        "0.5, largest",
        '0.5 * largest["size"][0] / 1e4, largest',
    )
    change(tmp_path, *REWRITTEN, *wider)
    assert toy("run") == 0
    assert toy("figures --update") == 0
    capsys.readouterr()
    assert toy("verify") == 0
    assert "toy [paper]: its checks cannot be asked: column must be one of" in capsys.readouterr().out


def test_confirm_computes_a_sample_and_says_so(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    assert toy("confirm toy") == 0
    assert "its stamp is that of the present sources" in capsys.readouterr().out
    change(tmp_path, *REWRITTEN)
    for kind in ("results/default", "results/shards"):
        shutil.rmtree(tmp_path / kind)
    assert toy("confirm toy --arms 1") == 0
    assert "toy [default]: sampled 1 of 2 arms, equal" in capsys.readouterr().out
    record = json.loads((tmp_path / "figures/toy.json").read_text())
    (sample,) = record["confirmed"]
    assert (sample["sampled"], sample["of"], len(sample["arms"])) == (1, 2, 1)
    assert {"commit", "seconds", "machine", "source_hash"} <= set(sample)
    assert record["source_hash"] != sample["source_hash"]
    assert toy("run") == 0
    capsys.readouterr()
    assert toy("verify") == 0
    assert "bitwise (2 rows); sampled 1 of 2 arms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("HEADS = 0.5", "HEADS = 0.25"), "2 of 2 sampled shards differ, "),
        (('f"n={size}"', 'f"size={size}"'), "ask for a shard that the record does not list: 'size=400' (0, 256)"),
        (("for size in config.sizes:", "for size in config.sizes[:1]:"), "do not ask for the shard 'n=10000' any more"),
    ],
)
def test_confirm_refuses_other_numbers(toy, tmp_path, capsys, texts, message):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    before = (tmp_path / "figures/toy.json").read_bytes()
    change(tmp_path, *texts)
    capsys.readouterr()
    assert toy("confirm toy") == 1
    assert message in capsys.readouterr().out
    assert (tmp_path / "figures/toy.json").read_bytes() == before
    edit_record(tmp_path / "figures/toy.json", circumstances={"jax": "0.1"})
    assert toy("confirm toy") == 1
    assert "another processor or release than the record's: cannot be sampled here" in capsys.readouterr().out


def test_confirm_needs_digests_and_a_committed_table(toy, tmp_path, capsys):
    assert toy("confirm toy") == 2
    assert "NAME toy [default] must have a committed table; it is missing" in capsys.readouterr().err
    assert toy("run") == 0
    assert toy("figures --update") == 0
    edit_record(tmp_path / "figures/toy.json", shards={"computed": 2}, source_hash="0:1")
    assert toy("confirm toy") == 1
    assert "its record lists no digests of shards; run it whole" in capsys.readouterr().out


def test_an_altered_table_fails_fresh_or_committed(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    committed = tmp_path / "figures/toy.csv"
    committed.write_text(committed.read_text().replace("coin", "dice"))
    assert toy("verify") == 1
    (tmp_path / "results/default/toy.json").write_text("{")
    assert toy("verify") == 1
    out = capsys.readouterr().out
    assert "committed table: altered: toy.csv is not the table of its record (checksum)" in out
    assert "results without a readable record" in out


def test_a_committed_paper_table_is_verified_without_running_it(toy, tmp_path, capsys):
    for preset in ("default", "paper"):
        assert toy(f"run --preset {preset}") == 0
        assert toy(f"figures --update --preset {preset}") == 0
    assert (tmp_path / "figures/paper/toy.csv").exists()
    for path in (tmp_path / "results/paper").iterdir():
        path.unlink()
    capsys.readouterr()
    assert toy("verify") == 0
    assert "pass  toy [paper]: mean of a fair coin" in capsys.readouterr().out


def test_a_nonsense_device_count_is_a_command_line_error(toy, monkeypatch, capsys):
    monkeypatch.setenv("BANDITLAB_DEVICES", "0")
    assert toy("list") == 2
    assert capsys.readouterr().err == "error: BANDITLAB_DEVICES must be a positive integer below 10^3; got '0'\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run toi", "NAME 'toi' is not known; did you mean 'toy'? (`list` shows all)"),
        ("show zebra", "NAME must be one of toy, coins; got 'zebra' (`list` shows all)"),
        ("run none.py", "NAME must be a claim, a family, a file or a module; there is no file '"),
        ("run os.path", "NAME os.path must define EXPERIMENT = banditlab.claims.Experiment(...)"),
        ("run --preset papr", "--preset 'papr' is not known; did you mean 'paper'?"),
        ("run --prest paper", "unrecognized options: --prest; did you mean --preset? (`banditlab --help`)"),
        ("figures --no-draft", "unrecognized options: --no-draft"),
        ("rum", "VERB 'rum' is not known; did you mean 'run'? (`banditlab --help`)"),
        ("show", "missing from banditlab show: NAME (`banditlab --help`)"),
        ("plan", "missing from banditlab plan: --data FILE (`banditlab --help`)"),
        ("confirm", "NAME must say what to confirm"),
        ("run --set num_seeds=3", "--set num_seeds must come with the NAME of a claim that has such a field"),
        ("figures toy", "NAME toy [default] must have a table of the present sources (`banditlab run toy "),
        ("figures --committed --update", "--committed and --update exclude each other"),
        ("figures --draft --update", "--draft must leave committed figures alone: without --update, "),
        ("figures --no-caption --committed", "--no-caption must leave committed figures alone: without --update, "),
        ("show toy", "NAME toy [default] must have results in "),
        ("run --output FILE/results", "--output must be a writable folder; got "),
        ("figures --output FILE", "--output must be a writable folder; got "),
        (
            "run toy --set num_seds=3",
            "--set num_seds: there is no such field; did you mean 'num_seeds'?; fields: num_seeds",
        ),
        ("run toy --set num_seeds=x", "--set num_seeds: num_seeds must be int; got 'x'"),
        ("run toy --set num_seeds=2.5", "--set num_seeds: num_seeds must be int; got '2.5'"),
        ("run toy --set sizes=[1,x]", "--set sizes: sizes must be tuple[int, ...]; got '[1,x]'"),
        ("run toy --set num_seeds=0", "--set num_seeds: num_seeds must be at least 1; got 0"),
        ("run toy --set sizes=[400,-1]", "--set sizes: sizes must be at least 1; got [400,-1]"),
        ("run toy --set sizes=()", "--set sizes: sizes must be a list that is not empty; got []"),
        ("run toy --set num_seeds", "--set must be FIELD=VALUE; got 'num_seeds'"),
        ("run toy --set num_seeds=3 --set num_seeds=4", "--set num_seeds must come once; got '3' and '4'"),
        ("llm tune", "llm must be followed by train; got tune"),
        ("llm train --nonsense 1", "unrecognized options: --nonsense (`banditlab llm train --help`)"),
        (f"plan --data x --next {DIGITS}", f"--next must be a whole number from 1 to 1000000; got {SHOWN}"),
        (f"llm train --seed {DIGITS}", f"--seed must be a whole number; got {SHOWN}"),
        (f"run toy --set num_seeds={DIGITS}", f"--set num_seeds: num_seeds must be int; got {SHOWN}"),
        (
            f"run toy --set num_seeds={DIGITS[:4000]}",
            f"--set num_seeds: num_seeds must be int; got {SHOWN} (whole numbers end at 2^63)",
        ),
        (f"confirm toy --arms {DIGITS}", f"--arms must be a whole number from 1 to 1000000; got {SHOWN}"),
        (f"run --{'y' * 5000}", "unrecognized options: --yyy"),
        (f"run {DIGITS}", f"NAME must be one of toy, coins; got {SHOWN} (`list` shows all)"),
        (f"run {DIGITS}.py", "'"),
    ],
)
def test_a_command_line_error_is_one_line_and_leaves_nothing(toy, tmp_path, capsys, line, message):
    file = tmp_path / "file"
    file.write_text("not a folder")
    assert toy(line.replace("FILE", str(file))) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 2100
    assert not captured.out
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert file.read_text() == "not a folder"


CROWDED = '    ax.plot(table["n"], table["mean"])', "    for _ in range(2): ax.text(0.5, 0.5, 'here')"


def test_a_figure_with_faults_is_refused_in_one_line_and_the_others_are_drawn(toy, tmp_path, monkeypatch, capsys):
    assert toy("run") == 0
    change(tmp_path, *CROWDED)
    (tmp_path / "toys" / "coins" / "even.py").write_text(TOY)
    monkeypatch.setattr(registry, "collections", lambda: [Collection("toys", {"coins": ("toy", "even")})])
    assert toy("run") == 0
    capsys.readouterr()
    assert toy("figures") == 2
    out, err = capsys.readouterr()
    assert (
        err == "error: toy [default]: not drawn, the texts 'here' and 'here' overlap; --draft draws it and says all\n"
    )
    assert [line.split(":")[0] for line in out.splitlines()] == ["even [default]"]
    assert not (tmp_path / "results/default/toy.png").exists()
    assert (tmp_path / "results/default/even.png").exists()
    (tmp_path / "figures").mkdir()
    assert toy("figures --update") == 2
    assert sorted(path.stem for path in (tmp_path / "figures").glob("*.json")) == ["even"]
    capsys.readouterr()
    assert toy("figures toy --draft") == 0
    assert "toy [default]: draft, the texts 'here' and 'here' overlap\n" in capsys.readouterr().out
    assert (tmp_path / "results/default/toy.png").exists()


def test_smoke_figures_are_drawn_whatever_is_wrong_with_them(toy, tmp_path, capsys):
    change(tmp_path, *CROWDED)
    assert toy("run --preset smoke") == 0
    assert toy("figures --preset smoke") == 0
    assert (tmp_path / "results/smoke/toy.png").exists()


def test_svg_is_drawn_on_demand_and_a_png_without_caption_too(toy, tmp_path, capsys):
    change(tmp_path, "    return figure", '    plotting.caption(figure, "Coins.")\n    return figure')
    assert toy("run") == 0
    drawn = tmp_path / "results/default"
    assert toy("figures") == 0
    assert not (drawn / "toy.svg").exists()
    assert (drawn / "toy.tex").read_text() == "\\caption{Coins.}\n"
    with_caption = (drawn / "toy.png").read_bytes()
    assert toy("figures --svg --no-caption") == 0
    assert (drawn / "toy.svg").exists()
    height, bare = (int.from_bytes(png[20:24], "big") for png in (with_caption, (drawn / "toy.png").read_bytes()))
    assert height > bare == 460


def test_committed_tables_are_drawn_into_another_folder_on_demand(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert toy(f"figures --committed --svg --no-caption --output {tmp_path / 'elsewhere'}") == 0
    names = sorted(path.name for path in (tmp_path / "elsewhere/default").iterdir())
    assert names == ["toy.pdf", "toy.png", "toy.svg", "toy.tex"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == before


def test_the_smoke_preset_cannot_be_committed(toy, tmp_path, capsys):
    assert toy("run --preset smoke") == 0
    assert toy("figures --update --preset smoke") == 2
    assert "--update must come with --preset default or paper and no --set; got toy [smoke]" in capsys.readouterr().err
    assert not (tmp_path / "figures").exists()


def test_a_run_that_fails_keeps_its_finished_shards_and_writes_no_table(toy, tmp_path, monkeypatch, capsys):
    module = importlib.import_module("toys.coins.toy")

    def interrupted(config, shards):
        module.run(config, shards)
        raise KeyboardInterrupt

    interrupted.__module__, interrupted.__qualname__ = "toys.coins.toy", "run"
    with monkeypatch.context() as patch:
        patch.setattr(module, "EXPERIMENT", dataclasses.replace(module.EXPERIMENT, run=interrupted))
        assert toy("run") == 130
        assert capsys.readouterr().err == "interrupted; finished shards are kept and will be reused\n"
    assert not (tmp_path / "results/default/toy.csv").exists()
    capsys.readouterr()
    assert toy("run") == 0
    assert "0 shards computed, 2 reused" in capsys.readouterr().out


MEANS = {
    "arm": ["a", "b"],
    "n": [1, 2],
    "mean": [1.0, float("inf")],
    "mean_se": [0.1, 0.1],
    "exact": [3.0, 4.0],
}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "bitwise"),
        ({"exact": [3.0 + 1e-12, 4.0]}, "within tolerance"),
        ({"exact": [3.0 + 1e-7, 4.0]}, "different"),
        ({"mean": [1.3, float("inf")]}, "statistical"),
        ({"mean": [1.3, float("inf")], "mean_se": [0.12, 0.1]}, "statistical"),
        ({"mean": [1.8, float("inf")]}, "different"),
        ({"mean": [1.8, float("inf")], "mean_se": [0.5, 0.1]}, "different"),
        ({"mean": [1.0, 5.0]}, "different"),
        ({"n": [1, 3]}, "different"),
        ({"arm": ["a", "c"]}, "different"),
        ({"arm": ["a"], "n": [1], "mean": [1.0], "mean_se": [0.1], "exact": [3.0]}, "different"),
        ({"extra": [0, 0]}, "different"),
    ],
)
def test_tables_are_compared_by_class(change, kind):
    # 4 sqrt(0.1^2 + 0.1^2) = 0.57: a difference of 0.3 is noise, one of 0.8 is not.
    assert compare(Table(MEANS | change), Table(MEANS)).kind == kind


def test_doctor_finds_a_package_that_differs_from_the_lock():
    found, wrong = mismatches("numpy==0.0.1 \\\n    --hash=sha256:ab\nno-such-package==1.0 ; os_name == 'nt' \\\n")
    assert found == 1
    assert len(wrong) == 1
    assert wrong[0].startswith("numpy ")
    assert wrong[0].endswith("(lock: 0.0.1)")


def test_an_experiment_declares_its_presets_of_one_dataclass():
    functions = {"run": main, "check": print, "plot": print, "columns": {}}
    with pytest.raises(
        ValueError, match="presets must have 'default' and no others than smoke, default, paper; got smoke"
    ):
        Experiment(claim="x", presets={"smoke": 1}, **functions)
    with pytest.raises(ValueError, match="presets must be of one dataclass"):
        Experiment(claim="x", presets={"default": 1, "paper": 1}, **functions)


def test_set_changes_the_table_and_keeps_it_apart(toy, tmp_path, capsys):
    assert toy("run") == 0
    assert toy("figures --update") == 0
    assert toy("run toy --set num_seeds=64 --set sizes=[2000]") == 0
    capsys.readouterr()
    path = tmp_path / "results/default+num_seeds=64+sizes=[2000]/toy.json"
    assert json.loads(path.read_text())["config"] == {"num_seeds": 64, "sizes": [2000]}
    assert toy("verify toy --set num_seeds=64 --set sizes=[2000]") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "1 passed, 0 failed"
    assert "toy [default, num_seeds=64, sizes=[2000]]: mean of a fair coin" in out
    for verb in ("figures", "show", "status"):
        assert toy(f"{verb} toy --set num_seeds=64 --set sizes=[2000]") == 0
    assert path.with_suffix(".png").exists()
    capsys.readouterr()
    assert toy("figures toy --update --set num_seeds=64 --set sizes=[2000]") == 2
    assert "--update must come with --preset default or paper and no --set" in capsys.readouterr().err
    assert toy("verify") == 0


def test_a_check_that_is_too_weak_cannot_tell_where_a_field_is_set(toy, capsys):
    assert toy("run toy --set num_seeds=3 --set sizes=[4]") == 0
    capsys.readouterr()
    assert toy("verify toy --set num_seeds=3 --set sizes=[4]") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("cannot tell  toy [default, num_seeds=3, sizes=[4]]: mean of a fair coin")
    assert out[-1] == "0 passed, 0 failed, 1 cannot tell"


def test_a_table_without_a_meaning_for_every_column_is_refused(toy, tmp_path, capsys):
    change(tmp_path, '"n": "throws [throws]", ', "")
    assert toy("run") == 2
    assert capsys.readouterr().err == "error: toy: columns must say what each column means; got none for n\n"
    assert not (tmp_path / "results/default").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "return Table.stack(tables)",
            "return tables",
            "run (toy.py, run) must return a Table, or {part: Table}; got list of",
        ),
        (
            "return Table.stack(tables)",
            "return {'a': 1.0}",
            "run (toy.py, run) must return a Table, or {part: Table}; got",
        ),
        ("[mean.mean()]", "[np.nan]", "run failed, toy.py, line 31: column mean must hold no nan; got one in row 0"),
        ("return [interval(", "[interval(", "check (toy.py, check) must return a list of Check; got NoneType"),
        ("    return figure", "", "plot (toy.py, plot) must return a matplotlib Figure; got NoneType"),
    ],
)
def test_a_claim_that_returns_something_else_is_named_with_its_role(toy, tmp_path, capsys, old, new, message):
    change(tmp_path, old, new)
    codes = {verb: toy(verb) for verb in ("run", "verify", "figures")}
    assert 2 in codes.values()
    assert f"error: toy: {message}" in capsys.readouterr().err


def test_an_error_of_a_set_value_is_one_line_that_names_it(toy, tmp_path, capsys):
    change(tmp_path, "    shards.expect", "    config.num_seeds == 7 and {}['seven']\n    shards.expect")
    assert toy("run toy --set num_seeds=7") == 2
    assert capsys.readouterr().err == "error: toy: run failed, toy.py, line 24: KeyError: 'seven' (set: num_seeds=7)\n"
    assert not list((tmp_path / "results").rglob("*.json"))


def test_one_configuration_has_one_folder_however_it_is_spelled(toy, tmp_path, capsys):
    for line in ("num_seeds=64 --set sizes=[100,2000]", "sizes=(100,2_000) --set num_seeds=64"):
        assert toy(f"run toy --set {line}") == 0
    assert "0 shards computed, 2 reused" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "results").glob("default*")] == ["default+num_seeds=64+sizes=[100,2000]"]
    assert toy("run toy --set num_seeds=256") == 0  # the preset's own value
    assert (tmp_path / "results/default/toy.csv").is_file()


def test_remedies_keep_the_output_folder(toy, tmp_path, capsys):
    assert toy(f"verify --output {tmp_path / 'own place'}".replace(" place", "")) == 1
    assert f"run `banditlab run toy --preset default --output {tmp_path / 'own'}`" in capsys.readouterr().out


def test_a_damaged_fresh_result_is_not_hidden_by_the_committed_one(toy, tmp_path, capsys):
    for line in ("run", "figures --update", "show toy"):
        assert toy(line) == 0
    record = tmp_path / "results/default/toy.json"
    record.write_text("{")
    capsys.readouterr()
    assert toy("show toy") == 2
    assert "they are without a readable record" in capsys.readouterr().err
    record.unlink()
    assert toy("show toy") == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tables", {"": "abc"}),
        ("tables", {"": {"columns": ["n"]}}),
        ("tables", []),
        ("machine", "fast"),
        ("cost", {"seconds": 3}),
        ("failures", [1]),
        ("confirmed", {"a": 1}),
        ("confirmed", [{"commit": "x"}]),
    ],
)
def test_a_record_of_another_shape_is_damage_to_every_verb(toy, tmp_path, capsys, field, value):
    for line in ("run", "figures --update"):
        assert toy(line) == 0
    for folder in ("results/default", "figures"):
        path = tmp_path / folder / "toy.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    assert toy("list") == 0
    assert toy("status") == 0
    assert toy("verify") == 1
    assert capsys.readouterr().out.count("without a readable record") >= 2
    for verb in ("show toy", "figures"):
        assert toy(verb) == 2
    assert toy("figures --committed") == 1
    assert toy("run") == 0
    assert "2 reused" in capsys.readouterr().out


def test_figures_says_when_the_table_is_of_older_sources(toy, tmp_path, capsys):
    assert toy("run") == 0
    change(tmp_path, "HEADS = 0.5", "HEADS = 0.51")
    capsys.readouterr()
    assert toy("figures") == 0
    assert "toy [default]: drawn (stale: its sources have changed) -> " in capsys.readouterr().out


def test_list_shows_the_fields_of_a_claim(toy, capsys):
    assert toy("list toy") == 0
    out = capsys.readouterr().out
    assert "num_seeds" in out
    assert "tuple[int, ...]" in out
    assert "[400,10000]" in out


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ | environment,
        timeout=60,
    )


@pytest.mark.parametrize("called", [["-m", "experiments"], ["-m", "banditlab.command"]])
def test_help_and_version_answer_from_both_entries(called):
    helps = ((["--help"], "confirm"), (["run", "--help"], "--set"))
    for words, expected in (*helps[: 1 if "experiments" in called else 2], (["--version"], "0.1.0")):
        found = subprocess.run(
            [sys.executable, *called, *words], capture_output=True, text=True, cwd=CHECKOUT, timeout=60
        )
        assert found.returncode == 0, found.stderr
        assert expected in found.stdout


def test_a_reader_who_stops_reading_is_told_nothing():
    listing = subprocess.Popen(
        [sys.executable, "-m", "banditlab.command", "run", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=CHECKOUT,
    )
    listing.stdout.close()
    assert listing.stderr.read() == b""
    assert listing.wait(timeout=60) == 141
    listing.stderr.close()


def test_configure_sets_devices_and_cache_and_refuses_nonsense(tmp_path):
    code = """
        from banditlab.claims.jax_settings import configure
        configure()
        configure()
        import jax, os
        print(jax.device_count(), jax.config.values["jax_compilation_cache_dir"], os.environ["XLA_FLAGS"])
    """
    mine = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=true"}
    if not compilation.OPTIONS:  # a flag that this XLA does not have would stop it
        mine["XLA_FLAGS"] = "--xla_cpu_enable_fast_math=false"
    found = run_python(code, BANDITLAB_DEVICES="3", JAX_PLATFORMS="cpu", **mine)
    assert found.stdout.split() == ["3", *mine.values()], found.stderr
    assert not found.stderr
    found = run_python(code, BANDITLAB_DEVICES="none")
    assert "BANDITLAB_DEVICES must be a positive integer below 10^3; got 'none'" in found.stderr


def test_show_takes_one_claim_and_names_those_of_a_family(capsys):
    assert main(["show", "foundation"]) == 2
    assert "NAME must be one claim; foundation has staircase, random_features" in capsys.readouterr().err
