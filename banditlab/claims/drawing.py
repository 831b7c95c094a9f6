"""Drawing figures from saved tables, and the one way by which committed results change."""

from __future__ import annotations

from dataclasses import dataclass
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


class FigureError(CommandLineError):
    """A figure has faults by `plotting.measure`, and was not drawn."""


@dataclass(frozen=True)
class Manner:
    """How figures are drawn.

    Attributes:
      svg: also as SVG. with_caption: whether PNGs have it.
      draft: draw what has faults, too. Smoke tables and set fields always are: nobody publishes them.
    """

    svg: bool = False
    with_caption: bool = True
    draft: bool = False


def draw(selection: Selection, result: Result, target: Result, manner: Manner) -> list[str]:
    """Draw the saved tables of ``result`` as files of ``target``: PNG, PDF and the caption in LaTeX.

    Returns what `plotting.measure` finds wrong. Raises CommandLineError without readable tables; FigureError, and
    draws nothing, where a fault is found and the manner does not allow it.
    """
    from banditlab import plotting

    damage = result.damage()
    if damage:
        raise CommandLineError(f"{_wanted(selection, result)}; {result.file('.json')} is {damage}")
    made = selection.experiment.figure(result.tables())
    faults = plotting.measure(made)
    if faults and not manner.draft and selection.committed() is not None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise FigureError(f"{selection.label}: not drawn, {faults[0]}{more}; --draft draws it and says all")
    kinds = [suffix.removeprefix(".") for suffix in DRAWN] + ["svg"] * manner.svg
    require_no_folder("figures", (target.file(f".{kind}") for kind in kinds))
    plotting.save(made, target.file(""), kinds, with_caption=manner.with_caption)
    return faults


def draw_fresh(selection: Selection, manner: Manner = Manner()) -> list[str]:
    """Draw what `run` wrote, of older sources too; lines that say so, and what a draft has for faults.

    Raises CommandLineError without readable tables, FigureError for faults, ClaimError for tables that lack what the
    figure reads.
    """
    try:
        return _drawn(selection, selection.fresh, selection.fresh, manner)
    except (ClaimError, CommandLineError):
        raise
    except (LookupError, ValueError) as error:
        raise selection.experiment.failed("plot", error) from error


def draw_committed(selection: Selection, manner: Manner = Manner()) -> tuple[bool | None, list[str]]:
    """Draw from the committed tables, outdated ones too, beside them or into the ``output``; whether, and lines.

    None where there is nothing to draw: no table, or one that lacks a part or a column; False for a damaged one.
    Raises FigureError for faults.
    """
    kept = selection.committed()
    if kept is None or not kept.exists():
        return None, [f"{selection.label}: nothing is committed"]
    target = kept if selection.output is None else selection.fresh
    try:
        return True, _drawn(selection, kept, target, manner)
    except FigureError:
        raise
    except CommandLineError as error:
        return False, [f"{selection.label}: left as it is, {error}"]
    except ClaimError:
        raise
    except (LookupError, ValueError) as error:
        return None, [f"{selection.label}: left as it is, its table lacks what the figure reads: {error}"]


def _drawn(selection: Selection, result: Result, target: Result, manner: Manner) -> list[str]:
    faults = draw(selection, result, target, manner)
    old = result.outdated(*selection.hashes)
    shown = [f"{selection.label}: draft, {fault}" for fault in faults if manner.draft]
    return [f"{selection.label}: drawn{f' ({old})' if old else ''} -> {target.file('.png')}", *shown]


def update(selection: Selection) -> str:
    """Make the fresh results the committed ones; a line that says what was written.

    Where the committed tables are the same to the byte only the stamp is renewed: the record keeps the machine that
    computed it and the least cost measured there, and figures that come out the same stay as they are. Where they are
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
        record |= {name: fresh[name] for name in STAMP} | {"cost": _least_cost(kept, fresh)}
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


def _least_cost(kept: dict[str, Any], fresh: dict[str, Any]) -> dict[str, float]:
    """What the same tables cost on the record's machine when least else was running on it."""
    if "cost" not in kept:
        return fresh["cost"]
    same = kept.get("machine") == fresh["machine"]
    return min([kept["cost"]] + [fresh["cost"]] * same, key=lambda cost: cost["wall_seconds"])


def _replace(path: Path, content: bytes) -> None:
    if not path.is_file() or read_bytes(path) != content:
        write_atomically(path, content)


def _wanted(selection: Selection, result: Result) -> str:
    if result == selection.committed():
        return f"NAME {selection.label} must have a whole committed table"
    return f"NAME {selection.label} must have a table of the present sources (`{selection.command('run')}`)"
