"""Running one experiment: its shards under a progress bar, then its tables and provenance record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import jax

from banditlab.claims import jax_settings
from banditlab.claims.experiment import Tables, by_part
from banditlab.claims.progress import progress
from banditlab.claims.result_files import table_entries
from banditlab.errors import ClaimError, CommandLineError, require_no_folder, writing
from banditlab.store import Shards, origin_record

if TYPE_CHECKING:
    from pathlib import Path

    from banditlab.claims.selection import Selection

_WATCHED = ("banditlab", "experiments", "locks")


def run_all(selections: Sequence[Selection], *, fresh: bool) -> Iterator[str]:
    """Run one after the other, as `run`; yields its lines.

    Experiments of one family share compiled programs, and then they go: every kernel holds memory, and memory maps, of
    which a process may have 65530.
    """
    for selection in selections:  # the sources are those that were imported, not those of an hour later
        require_no_folder("--output", selection.fresh.places())
        selection.experiment.source_hash()
    for _, members in groupby(selections, key=lambda selection: selection.experiment.family):
        for selection in members:
            with writing("--output", selection.results):
                line = run(selection, fresh=fresh)
            yield line
        jax.clear_caches()


def run(selection: Selection, *, fresh: bool = False) -> str:
    """Run one experiment, reusing finished shards unless ``fresh``; returns a line to print.

    Raises CommandLineError where a folder has the place of a table, before anything is computed; ClaimError for what
    `Experiment.measured` and `Experiment.dictionary` refuse, and, where fields were set, for any error of the
    computation. No table is written then.
    """
    require_no_folder("--output", selection.fresh.places())
    started = time.perf_counter()
    experiment = selection.experiment
    with progress(selection.name) as listener:
        shards = shards_of(selection, fresh=fresh, listener=listener)
        others = shards.of_other_keys()
        tables = _measured(selection, shards)
    seconds = time.perf_counter() - started
    dictionary = experiment.dictionary(by_part(tables))
    record = origin_record(
        experiment=selection.name,
        preset=selection.preset,
        config=selection.config,
        source_hash=experiment.source_hash(),
        tables=table_entries(tables, dictionary),
        folder=experiment.home,
        watched=watched(experiment.home),
        **jax_settings.describe_device(),
        circumstances=shards.circumstances,
        machine=jax_settings.describe_machine(),
        # What it cost to compute, whichever part of it was done before.
        cost={
            "wall_seconds": seconds + shards.reused_seconds,
            "shard_seconds": sum(piece.seconds for piece in shards.pieces),
        },
        shards=shards.pieces,
        failures=shards.failures,
    )
    selection.fresh.write(tables, record)
    reuse = f"{shards.computed} shards computed, {shards.reused} reused"
    if others and shards.computed:
        reuse += f" ({others} of other sources or an older layout kept, not used)"
    parts = by_part(tables)
    size = f"{sum(map(len, parts.values()))} rows" + (f" in {len(parts)} tables" if len(parts) > 1 else "")
    return f"{selection.label}: {seconds:.1f} s, {reuse}, {size} -> {selection.fresh.file('.json')}"


def _measured(selection: Selection, shards: Shards) -> Tables:
    """The tables; where fields were set, an error says which: the values are the likely cause."""
    try:
        return selection.experiment.measured(selection.config, shards)
    except (CommandLineError, OSError):
        raise
    except Exception as error:
        if not selection.is_set:
            raise
        chosen = ", ".join(f"{name}={text}" for name, text in selection.settings.items())
        what = (
            str(error)
            if isinstance(error, ClaimError)
            else f"{selection.name}: run failed, {type(error).__name__}: {error}"
        )
        raise ClaimError(f"{what} (set: {chosen})") from error


def shards_of(selection: Selection, **options: Any) -> Shards:
    """The shards of one experiment at one configuration."""
    of = selection.name, selection.hashes[1], selection.hashes[0], jax_settings.circumstances()
    return Shards(selection.shards, *of, **options)


def watched(home: Path) -> tuple[str, ...]:
    """What makes a tree dirty: in this repository its sources and locks, elsewhere all of the claim's folder."""
    return _WATCHED if all((home / part).is_dir() for part in _WATCHED) else (".",)
