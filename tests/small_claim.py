"""A claim that costs nothing, in a file outside the checkout, and the commands on it; for tests."""

import sys

from banditlab.claims import registry
from banditlab.claims.registry import Collection
from banditlab.command import main
from banditlab.store import sources as source_walk

CLAIM = """
from dataclasses import dataclass

import numpy as np

from banditlab import plotting
from banditlab.claims import Experiment, Table, identity


@dataclass(frozen=True)
class Config:
    num_seeds: int


def run(config, shards):
    means = []
    for size in (1, 2, 3):
        means.append(shards.get(f"n={size}", (0, config.num_seeds), lambda: {"mean": np.full(4, size)})["mean"][0])
    return Table({"n": [1, 2, 3], "mean": means})


def check(table):
    return [identity("mean", 1.0, table["mean"][0], why="by hand")]


def plot(table):
    figure, ax = plotting.figure()
    ax.plot(table["n"], table["mean"])
    return figure


EXPERIMENT = Experiment(
    claim="The mean of n is n",
    presets={"default": Config(4)},
    run=run,
    check=check,
    plot=plot,
    columns={"n": "size", "mean": "mean"},
)
"""


def commands(tmp_path, monkeypatch, capsys):
    """Yield a function: verb and options -> (exit code, what went to stdout, to stderr), for the claim ``means``."""
    file = tmp_path / "means.py"
    file.write_text(CLAIM)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(registry, "collections", lambda: [Collection("nothing", {})])

    def command(verb, *words):
        source_walk._sources.cache_clear()
        capsys.readouterr()
        code = main([verb, str(file), *words])
        return code, *capsys.readouterr()

    yield command
    sys.modules.pop("means", None)
    source_walk._sources.cache_clear()
