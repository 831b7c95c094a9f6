"""A result at a glance: the claim, its checks, what failed, its first rows; and all claims on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table as Grid

from banditlab.claims.experiment import Tables, by_part
from banditlab.claims.settings import fields_of, text_of, value_of
from banditlab.claims.verification import Verdict, checks, state
from banditlab.errors import CommandLineError
from banditlab.terminal import Terminal

if TYPE_CHECKING:
    from banditlab.claims.experiment import Experiment
    from banditlab.claims.result_files import Result
    from banditlab.claims.selection import Selection
    from banditlab.store import Table

_ROWS = 4


def found(selection: Selection) -> Result:
    """The fresh result of a selection or, where there is none, the committed one; CommandLineError for damage."""
    kept = selection.committed()
    result = kept if kept is not None and kept.exists() and not selection.fresh.exists() else selection.fresh
    problem = result.damage()
    if problem is None:
        return result
    raise CommandLineError(
        f"NAME {selection.label} must have results in '{result.folder}'; they are {problem} "
        f"(`{selection.command('run')}`)"
    )


def show(selection: Selection) -> Iterator[Verdict]:
    """Print claim, origin, failures and first rows of every part; the verdicts of the checks."""
    result = found(selection)
    record, tables = result.record(), result.tables()
    console = Terminal(lines=False)
    console.print(f"{selection.label}: {selection.experiment.claim}", soft_wrap=True)
    old = result.outdated(*selection.hashes)
    console.print(f"{result.file('.json')}: {old or 'of the present sources'}; {_origin(record)}", soft_wrap=True)
    for where, count in _failures(record.get("failures", {})):
        console.print(f"  failed: {where}: {count}", soft_wrap=True)
    for part, table in by_part(tables).items():
        console.print(_grid(part, table, record["tables"][part].get("columns", {})))
    yield from _asked(selection, tables)


def status(selections: Sequence[Selection]) -> None:
    """Print one line per family with its counts, and below it which results are not as they should be, and why."""
    console = Terminal()
    for family, members in groupby(selections, key=lambda selection: selection.experiment.family):
        states = {selection.label: state(selection) for selection in members}
        counts = [sum(words[place] == "present" for words in states.values()) for place in (0, 1)]
        claims = f"{len(states)} claim{'s' if len(states) > 1 else ''}"
        console.print(f"{family}: {claims}, {counts[0]} computed here, {counts[1]} committed and current")
        unlike: dict[str, list[str]] = {}  # what is wrong -> of which
        for label, (fresh, committed) in states.items():
            words = [f"committed {committed}"] if committed not in ("present", "-") else []
            words += [f"results {fresh}"] if fresh not in ("present", "missing") else []
            if words:
                unlike.setdefault("; ".join(words), []).append(label.split(" [")[0])
        for words, names in unlike.items():
            console.print(f"  {words}: {', '.join(names)}")


def listing(experiments: Sequence[Experiment], seconds: dict[str, float]) -> None:
    """Print the claims by family: name, seconds of the committed computation, and the claim."""
    console = Terminal()
    for family, members in groupby(experiments, key=lambda experiment: experiment.family):
        names = list(members)
        console.print(f"{family} ({sum(seconds.get(one.name, 0.0) for one in names):.0f} s)", style="bold")
        for one in names:
            cost = f"{max(seconds[one.name], 1):4.0f} s" if one.name in seconds else "     -"
            console.print(f"  {one.name:24} {cost}  {one.claim}")


def fields(experiment: Experiment) -> None:
    """Print a claim and the fields of its configuration: name, type, and value at every preset."""
    console = Terminal(lines=False)
    console.print(f"{experiment.name}: {experiment.claim}", soft_wrap=True)
    grid = Grid("field", "type")
    for preset in experiment.presets:
        grid.add_column(preset, overflow="fold")
    for name, kind in fields_of(experiment.presets["default"]):
        values = [text_of(value_of(config, name)) for config in experiment.presets.values()]
        grid.add_row(name, kind, *values)
    console.print(grid)


def _asked(selection: Selection, tables: Tables) -> Iterator[Verdict]:
    try:
        yield from checks(selection, tables)
    except (LookupError, ValueError) as error:
        yield Verdict("outdated", f"{selection.label}: its checks cannot be asked: {error}")


def _origin(record: dict[str, Any]) -> str:
    machine, cost = record.get("machine", {}), record.get("cost", {})
    where = f" on {machine['cpu']}" if "cpu" in machine else ""
    seconds = f"{cost['wall_seconds']:.0f} s{where}" if cost else "cost unknown"
    commit = record.get("commit")
    of = f"commit {str(commit)[:12]}{' with changes' if record.get('dirty') else ''}" if commit else "no repository"
    return f"{record.get('created')}, {of}, {seconds}, {record.get('dtype')}"


def _failures(counts: dict[str, Any], where: str = "") -> Iterator[tuple[str, int]]:
    for name, value in counts.items():
        label = f"{where}, {name}" if where else name
        if isinstance(value, dict):
            yield from _failures(value, label)
        elif value:
            yield label, value


def _grid(part: str, table: Table, dictionary: dict[str, dict[str, str]]) -> Grid:
    """The first rows, one line a column: many columns do not fit side by side."""
    shown = min(_ROWS, len(table))
    title = f"{part + ': ' if part else ''}{len(table)} rows, the first {shown}"
    grid = Grid(title=title, title_justify="left")
    grid.add_column("column", no_wrap=True, overflow="fold", min_width=max(map(len, table.columns)))
    for heading in ("unit", *(f"row {row}" for row in range(shown))):
        grid.add_column(heading)
    for name, values in table.columns.items():
        cells = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values[:shown].tolist()]
        grid.add_row(name, dictionary.get(name, {}).get("unit", ""), *cells)
    return grid
