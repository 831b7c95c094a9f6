"""Running one experiment: its shards under a progress bar, then its table and provenance record."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from banditlab.store import Shards, config_hash, origin_record, write_atomically
from banditlab.store.shards import Event, Listener
from experiments import CHECKOUT
from experiments.framework import places, session
from experiments.framework.experiment import Experiment


def run_all(experiments: Sequence[Experiment], preset: str, output: Path, *, fresh: bool) -> Iterator[str]:
    """Run one after the other, as `run_experiment`; yields its lines.

    Experiments of one family share compiled programs, and then they go: every kernel holds memory, and memory maps, of
    which a process may have 65530.
    """
    for experiment in experiments:  # the sources are those that were imported, not those of an hour later
        experiment.source_hash()
    for _, members in groupby(experiments, key=lambda experiment: experiment.family):
        for experiment in members:
            yield run_experiment(experiment, preset, output, fresh=fresh)
        jax.clear_caches()


def run_experiment(experiment: Experiment, preset: str, output: Path, *, fresh: bool) -> str:
    """Run into ``output``, reusing finished shards unless ``fresh``; returns a line to print."""
    started = time.perf_counter()
    config = experiment.presets[preset]
    with progress(experiment.name) as listener:
        shards = shards_of(experiment, config, output, fresh=fresh, listener=listener)
        _, others = shards.waiting()
        table = experiment.run(config, shards)
    spent = [piece.seconds for piece in shards.pieces]
    seconds = time.perf_counter() - started
    record = origin_record(
        experiment=experiment.name,
        preset=preset,
        config=config,
        source_hash=experiment.source_hash(),
        csv=table.to_csv(),
        folder=CHECKOUT,
        watched=("banditlab", "experiments", "locks"),
        meta=table.meta,
        **session.describe_device(),
        circumstances=shards.circumstances,
        machine=session.describe_machine(),
        # What it cost to compute, whichever part of it was done before.
        cost={"wall_seconds": seconds + shards.reused_seconds, "shard_seconds": sum(spent)},
        shards=shards.pieces,
    )
    result = places.fresh(output, preset, experiment.name)
    # The record comes last, and holds the table's checksum: a table of a run that was cut short is seen.
    table.write(result.file(".csv"))
    write_atomically(result.file(".json"), places.as_json(record))
    reuse = f"{shards.computed} shards computed, {shards.reused} reused"
    if others and shards.computed:
        reuse += f" ({others} of other sources or an older layout kept, not used)"
    return f"{experiment.name}: {seconds:.1f} s, {reuse}, {len(table)} rows -> {result.file('.csv')}"


def shards_of(experiment: Experiment, config: object, output: Path, **options: Any) -> Shards:
    """The shards of one experiment at one configuration below ``output``."""
    hashed = config_hash(config)
    folder = places.shards_folder(output, experiment.name, hashed)
    return Shards(folder, experiment.name, hashed, experiment.source_hash(), session.circumstances(), **options)


@contextmanager
def progress(name: str) -> Iterator[Listener]:
    """A progress bar over the arms on a terminal, nothing elsewhere; warnings of bad shards everywhere."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)

        def listen(event: Event, detail: str) -> None:
            if event == "corrupt":
                console.print(f"warning: {detail}", markup=False)
            elif event == "expected":
                bar.update(task, total=float(detail))
            elif event == "started":
                bar.update(task, description=f"{name}: {detail}")
            else:
                bar.advance(task)

        yield listen
