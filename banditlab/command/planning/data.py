"""Reading a user's comparisons: one npz of arrays, or two CSV files with ids of any kind.

Every problem with a file is a CommandLineError that names the argument and, in a CSV, the line.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from banditlab.errors import CommandLineError
from banditlab.store import archives

NPZ_REQUIRED = ("features", "context", "chosen", "rejected")
NPZ_OPTIONAL = ("log_reference", "context_probs")
COMPARISON_COLUMNS = ("context", "chosen", "rejected")
NODE_COLUMNS = ("context", "action")
# The columns of --features that are not features.
SPECIAL_COLUMNS = (*NODE_COLUMNS, "log_reference", "context_prob")


@dataclass(frozen=True)
class PlanData:
    """Arrays as `banditlab.planner` takes them, and the ids to print.

    Attributes:
      arrays: features (S, A, d), context, chosen, rejected (n,), and where given log_reference (S, A) and
        context_probs (S,). A context with fewer actions than others is filled up with actions of log-probability -inf.
      context_ids: S ids; action_ids: per context, the ids of its actions.
    """

    arrays: dict[str, np.ndarray]
    context_ids: Sequence[str | int] = field(repr=False)
    action_ids: Sequence[Sequence[str | int]] = field(repr=False)


def read(data: Path, features: Path | None) -> PlanData:
    """The data of ``--data`` (.npz, or a CSV that comes with ``--features``)."""
    for argument, path in (("--data", data), ("--features", features)):
        if path is not None and not path.is_file():
            raise CommandLineError(f"{argument} must be a file; got '{path}', which is none")
    if data.suffix.lower() == ".npz":
        if features is not None:
            raise CommandLineError(f"--features must go with a CSV; got it with '{data}', which holds its own features")
        return _read_npz(data)
    if features is None:
        raise CommandLineError(f"--data must be FILE.npz, or a CSV that comes with --features; got '{data}' alone")
    return _read_csv(data, features)


def _read_npz(path: Path) -> PlanData:
    try:
        arrays = archives.read(path)
    except ValueError as error:
        raise CommandLineError(f"--data must be an npz of plain arrays; '{path}' {error}") from error
    if missing := [name for name in NPZ_REQUIRED if name not in arrays]:
        raise CommandLineError(f"--data must hold {', '.join(NPZ_REQUIRED)}; got none called {', '.join(missing)}")
    arrays = {name: value for name, value in arrays.items() if name in NPZ_REQUIRED + NPZ_OPTIONAL}
    # A wrong shape is the planner's to refuse.
    num_contexts, num_actions = (*arrays["features"].shape, 0, 0)[:2]
    return PlanData(arrays, range(num_contexts), [range(num_actions)] * num_contexts)


def _read_csv(data: Path, features: Path) -> PlanData:
    places, nodes = _read_nodes(features)
    contexts: dict[str, int] = {}
    actions: list[dict[str, int]] = []
    for context, action in places:
        if context not in contexts:
            contexts[context] = len(contexts)
            actions.append({})
        known = actions[contexts[context]]
        known[action] = len(known)
    rows = {name: [] for name in COMPARISON_COLUMNS}
    for line, row in _rows("--data", data, COMPARISON_COLUMNS):
        if row["context"] not in contexts:
            raise CommandLineError(f"--data line {line}: context {row['context']!r} is not in --features")
        known = actions[contexts[row["context"]]]
        for name in ("chosen", "rejected"):
            if row[name] not in known:
                where = f"context {row['context']!r} in --features"
                raise CommandLineError(f"--data line {line}: {name} {row[name]!r} is not an action of {where}")
        if row["chosen"] == row["rejected"]:
            raise CommandLineError(f"--data line {line}: rejected must differ from chosen; got {row['chosen']!r} twice")
        rows["context"].append(contexts[row["context"]])
        rows["chosen"].append(known[row["chosen"]])
        rows["rejected"].append(known[row["rejected"]])
    arrays: dict[str, np.ndarray] = {name: np.asarray(values, dtype=np.int64) for name, values in rows.items()}
    table = (len(contexts), max(map(len, actions)))
    first = np.asarray([contexts[context] for context, _ in places])
    second = np.asarray([actions[contexts[context]][action] for context, action in places])
    arrays["features"] = np.zeros((*table, nodes["features"].shape[1]))
    arrays["features"][first, second] = nodes["features"]
    arrays["log_reference"] = np.full(table, -np.inf)
    arrays["log_reference"][first, second] = nodes["log_reference"]
    if "context_prob" in nodes:
        arrays["context_probs"] = _one_per_context(nodes["context_prob"], first, list(contexts))
    return PlanData(arrays, list(contexts), [list(known) for known in actions])


def _read_nodes(path: Path) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:
    """(context, action) per row of ``--features``, and its numbers: features (n, d), log_reference (n,), ..."""
    places: dict[tuple[str, str], int] = {}
    columns: dict[str, list[float]] = {}
    for line, row in _rows("--features", path, NODE_COLUMNS):
        place = (row["context"], row["action"])
        if place in places:
            text = f"context {place[0]!r}, action {place[1]!r}"
            raise CommandLineError(f"--features line {line}: {text} must come once; it is on line {places[place]} too")
        places[place] = line
        for name, cell in row.items():
            if name not in NODE_COLUMNS:
                columns.setdefault(name, []).append(_number(name, cell, line))
    named = [name for name in columns if name not in SPECIAL_COLUMNS]
    if not named:
        raise CommandLineError(f"--features must have a column for every feature; got none in '{path}'")
    numbers = {name: np.asarray(values) for name, values in columns.items() if name in SPECIAL_COLUMNS}
    numbers.setdefault("log_reference", np.zeros(len(places)))  # the planner normalises
    return list(places), numbers | {"features": np.stack([np.asarray(columns[name]) for name in named], axis=1)}


def _one_per_context(values: np.ndarray, context: np.ndarray, ids: list[str]) -> np.ndarray:
    probs = np.zeros(len(ids))
    probs[context] = values
    if (off := probs[context] != values).any():
        name = ids[context[int(off.argmax())]]
        raise CommandLineError(f"--features must give one context_prob per context; got several for {name!r}")
    return probs


def _number(name: str, cell: str, line: int) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = float("nan")
    if np.isfinite(number) or (name == "log_reference" and number == -np.inf):
        return number
    raise CommandLineError(f"--features line {line}: {name} must be a finite number; got {cell!r}")


def _rows(argument: str, path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and stripped cells by column name of every row that is not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = [name.strip() for name in next(lines, [])]
            if missing := [name for name in required if name not in header]:
                wanted = ", ".join(required)
                raise CommandLineError(
                    f"{argument} must have the columns {wanted}; '{path}' lacks {', '.join(missing)}"
                )
            if len(set(header)) < len(header) or "" in header:  # pandas leaves its index without a name
                raise CommandLineError(f"{argument} must name its columns, each differently; got {', '.join(header)}")
            empty = True
            for cells in lines:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    got = f"{len(cells)} cells for {len(header)} columns"
                    raise CommandLineError(f"{argument} line {lines.line_num}: got {got}")
                empty = False
                yield lines.line_num, dict(zip(header, map(str.strip, cells), strict=True))
            if empty:
                raise CommandLineError(f"{argument} must have at least one row under its header; '{path}' has none")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandLineError(f"{argument} must be a CSV in UTF-8; got '{path}' ({error})") from error
