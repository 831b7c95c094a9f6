"""Drawing figures from saved tables, and the one way by which committed results change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from banditlab.claims.comparison import Comparison, compare
from banditlab.claims.result_files import DRAWN, Result, as_json, confirmations, elsewhere, is_float64
from banditlab.errors import ClaimError, CommandLineError, require_no_folder, require_writable
from banditlab.store import write_atomically
from banditlab.store.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from banditlab.claims.selection import Selection

# What a record says of its sources; the rest is about the computation that first gave these numbers.
STAMP = (
    "config",
    "config_hash",
    "source_hash",
    "tables",
    "commit",
    "dirty",
    "created",
    "versions",
    "circumstances",
    "shards",
    "failures",
)


def draw(selection: Selection, result: Result) -> Result:
    """Draw the saved tables of ``result`` beside them as PNG, SVG and PDF; CommandLineError without readable tables."""
    from banditlab import plotting

    damage = result.damage()
    if damage:
        raise CommandLineError(f"{_wanted(selection, result)}; {result.file('.json')} is {damage}")
    require_no_folder("figures", map(result.file, DRAWN))
    plotting.save(selection.experiment.figure(result.tables()), result.file(""))
    return result


def draw_fresh(selection: Selection) -> str:
    """Draw what `run` wrote, of older sources too; a line that says so.

    CommandLineError without readable tables, ClaimError for tables that lack what the figure reads.
    """
    try:
        return _drawn(selection, selection.fresh)
    except ClaimError:
        raise
    except (LookupError, ValueError) as error:
        raise selection.experiment.failed("plot", error) from error


def draw_committed(selection: Selection) -> tuple[bool | None, str]:
    """Draw from the committed tables, outdated ones too; whether it was done, and a line.

    None where there is nothing to draw: no table, or one that lacks a part or a column; False for a damaged one.
    """
    kept = selection.committed()
    if kept is None or not kept.exists():
        return None, f"{selection.label}: nothing is committed"
    try:
        return True, _drawn(selection, kept)
    except CommandLineError as error:
        return False, f"{selection.label}: left as it is, {error}"
    except ClaimError:
        raise
    except (LookupError, ValueError) as error:
        return None, f"{selection.label}: left as it is, its table lacks what the figure reads: {error}"


def _drawn(selection: Selection, result: Result) -> str:
    draw(selection, result)
    old = result.outdated(*selection.hashes)
    return f"{selection.label}: drawn{f' ({old})' if old else ''} -> {result.file('.png')}"


def update(selection: Selection) -> str:
    """Make the fresh results the committed ones; a line that says what was written.

    Where the committed tables are the same to the byte only the stamp is renewed: the record keeps the cost and the
    machine of the computation that it is about, and figures that come out the same stay as they are. Where they are
    those of another processor or release up to rounding, they stay: the record notes the agreement. Tables of other
    draws, which `compare` may call statistical too, are replaced.

    Raises CommandLineError for stale or float32 results, for the smoke preset, and where fields were set.
    """
    result, target = selection.fresh, selection.committed()
    if target is None:
        raise CommandLineError(f"--update must come with --preset default or paper and no --set; got {selection.label}")
    problem = result.problem(*selection.hashes)
    if problem:
        raise CommandLineError(f"{_wanted(selection, result)}; got one that is {problem}")
    fresh = result.record()
    if not is_float64(fresh):
        raise CommandLineError(f"--update must be of float64 results; got {fresh.get('dtype')}")
    if missing := [name for name in STAMP if name not in fresh]:
        raise CommandLineError(f"{_wanted(selection, result)}; its record lacks {', '.join(missing)}")
    require_writable("the folder of committed results", target.folder)
    require_no_folder("the folder of committed results", (*target.places(), *map(target.file, DRAWN)))
    whole = target.damage() is None
    if whole and elsewhere(fresh, target.record()) and is_float64(target.record()):
        agreement = compare(result.tables(), target.tables())
        if agreement.kind != "bitwise" and agreement.same_draws:
            if fresh.get("dirty"):
                raise CommandLineError(f"NAME {selection.label} must be computed on a committed tree; files differed")
            write_atomically(target.file(".json"), as_json(confirmed(target.record(), fresh, agreement)))
            return f"{selection.label}: agrees ({agreement.kind}), stamp renewed -> {target.file('.json')}"
    same = whole and target.contents() == result.contents()
    record = fresh
    if same:
        kept = target.record()
        record = {name: value for name, value in kept.items() if name != "confirmed"}
        record |= {name: fresh[name] for name in STAMP} | {"cost": kept.get("cost", fresh["cost"])}
    for part, content in result.contents().items():
        _replace(target.csv(part), content)
    for suffix in DRAWN:
        _replace(target.file(suffix), read_bytes(result.file(suffix)))
    _replace(target.file(".json"), as_json(record))
    target.remove_parts_but(record["tables"])
    return f"{selection.label}: {'stamp renewed' if same else 'committed'} -> {target.file('.json')}"


def confirmed(kept: dict[str, Any], fresh: dict[str, Any], agreement: Comparison) -> dict[str, Any]:
    """A record with the note that a whole computation elsewhere, at the present sources, agrees with its tables."""
    named = ("source_hash", "config_hash", "commit", "dirty", "created", "machine", "circumstances")
    count = len(fresh["shards"])
    note = {name: fresh[name] for name in named} | {"sampled": count, "of": count}
    note["agreement"] = f"{agreement.kind} ({agreement.detail})"
    others = [one for one in confirmations(kept) if one["source_hash"] != fresh["source_hash"]]
    return kept | {"confirmed": [*others, note]}


def _replace(path: Path, content: bytes) -> None:
    if not path.is_file() or read_bytes(path) != content:
        write_atomically(path, content)


def _wanted(selection: Selection, result: Result) -> str:
    if result == selection.committed():
        return f"NAME {selection.label} must have a whole committed table"
    return f"NAME {selection.label} must have a table of the present sources (`{selection.command('run')}`)"
