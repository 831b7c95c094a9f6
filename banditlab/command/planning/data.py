"""Reading a user's comparisons: one npz of arrays, or two CSV files with ids of any kind.

Every problem with a file is a CommandLineError that names the argument and, in a CSV, the line.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from banditlab import validation
from banditlab.command.planning.rows import refuse_near, refuse_telling, require_plain, rows
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
      unread: columns or arrays of ``--data`` that nothing reads.
    """

    arrays: dict[str, np.ndarray]
    context_ids: Sequence[str | int] = field(repr=False)
    action_ids: Sequence[Sequence[str | int]] = field(repr=False)
    unread: Sequence[str] = ()


def read(data: Path, features: Path | None) -> PlanData:
    """The data of ``--data`` (.npz, or a CSV that comes with ``--features``)."""
    for argument, path in (("--data", data), ("--features", features)):
        if path is not None and not path.is_file():
            raise CommandLineError(f"{argument} must be a file; got '{path}', which is none")
    if data.suffix.lower() == ".npz":
        if features is not None:
            raise CommandLineError(f"--features must go with a CSV; got it with '{data}', which holds its own features")
        return _read_npz(data)
    require_plain("--data", data)
    if features is None:
        raise CommandLineError(f"--data must be FILE.npz, or a CSV that comes with --features; got '{data}' alone")
    return _read_csv(data, features)


def _read_npz(path: Path) -> PlanData:
    try:
        arrays = archives.read(path)
    except ValueError as error:
        raise CommandLineError(f"--data must be an npz of plain arrays; '{path}' {error}") from error
    refuse_near("--data", "array", list(arrays), NPZ_REQUIRED + NPZ_OPTIONAL)
    if missing := [name for name in NPZ_REQUIRED if name not in arrays]:
        raise CommandLineError(f"--data must hold {', '.join(NPZ_REQUIRED)}; got none called {', '.join(missing)}")
    unread = [name for name in arrays if name not in NPZ_REQUIRED + NPZ_OPTIONAL]
    refuse_telling("--data", "array", unread)
    arrays = {name: value for name, value in arrays.items() if name in NPZ_REQUIRED + NPZ_OPTIONAL}
    # A wrong shape is the planner's to refuse.
    num_contexts, num_actions = (*arrays["features"].shape, 0, 0)[:2]
    return PlanData(arrays, range(num_contexts), [range(num_actions)] * num_contexts, unread)


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
    columns = {name: [] for name in COMPARISON_COLUMNS}
    unread: list[str] = []
    for line, row in rows("--data", data, COMPARISON_COLUMNS, nameless=True):
        if not columns["context"]:
            unread = _unread(list(row))
        keys = {name: _key(row[name]) for name in COMPARISON_COLUMNS}
        if keys["context"] not in contexts:
            raise CommandLineError(f"--data line {line}: context {row['context']!r} is not in --features")
        known = actions[contexts[keys["context"]]]
        for name in ("chosen", "rejected"):
            if keys[name] not in known:
                where = f"context {row['context']!r} in --features"
                raise CommandLineError(f"--data line {line}: {name} {row[name]!r} is not an action of {where}")
        if keys["chosen"] == keys["rejected"]:
            raise CommandLineError(f"--data line {line}: rejected must differ from chosen; got {row['chosen']!r} twice")
        columns["context"].append(contexts[keys["context"]])
        columns["chosen"].append(known[keys["chosen"]])
        columns["rejected"].append(known[keys["rejected"]])
    arrays: dict[str, np.ndarray] = {name: np.asarray(values, dtype=np.int64) for name, values in columns.items()}
    table = (len(contexts), max(map(len, actions)))
    _require_room(*table, nodes["features"].shape[1])
    first = np.asarray([contexts[context] for context, _ in places])
    second = np.asarray([actions[contexts[context]][action] for context, action in places])
    arrays["features"] = np.zeros((*table, nodes["features"].shape[1]))
    arrays["features"][first, second] = nodes["features"]
    arrays["log_reference"] = np.full(table, -np.inf)
    arrays["log_reference"][first, second] = nodes["log_reference"]
    if "context_prob" in nodes:
        arrays["context_probs"] = _one_per_context(nodes["context_prob"], first, list(contexts))
    spelled = {contexts[context]: ids[0] for (context, _), ids in reversed(places.items())}
    names = [[places[context, action][1] for action in actions[place]] for context, place in contexts.items()]
    return PlanData(arrays, [spelled[place] for place in range(len(contexts))], names, unread)


def _require_room(num_contexts: int, num_actions: int, num_features: int) -> None:
    """CommandLineError for tables that no memory holds: every context has a row for each action of the largest one."""
    try:
        validation.tables("--features", num_contexts * num_actions * max(num_actions, num_features))
    except ValueError as error:
        what = f"{num_contexts} contexts of up to {num_actions} actions"
        raise CommandLineError(f"{error}, from {what} and {num_features} features") from error


def _unread(names: list[str]) -> list[str]:
    """The columns of --data that are not read; CommandLineError for those that would have to be."""
    others = [name for name in names if name not in COMPARISON_COLUMNS]
    if misplaced := [name for name in others if name in SPECIAL_COLUMNS]:
        raise CommandLineError(f"--data must not have the column {misplaced[0]!r}: it belongs into --features")
    refuse_telling("--data", "column", others)
    return [name for name in others if name]


def _key(name: str) -> str:
    """What an id is compared by: the same letters in another form of Unicode are the same id."""
    return unicodedata.normalize("NFC", name)


def _read_nodes(path: Path) -> tuple[dict[tuple[str, str], tuple[str, str]], dict[str, np.ndarray]]:
    """Keys of context and action -> their ids, per row of ``--features``; its numbers: features (n, d), ..."""
    places: dict[tuple[str, str], tuple[str, str]] = {}
    lines: dict[tuple[str, str], int] = {}
    columns: dict[str, list[float]] = {}
    for line, row in rows("--features", path, NODE_COLUMNS):
        if not places:
            refuse_near("--features", "column", list(row), SPECIAL_COLUMNS)
        place = (_key(row["context"]), _key(row["action"]))
        if place in places:
            text = f"context {row['context']!r}, action {row['action']!r}"
            raise CommandLineError(f"--features line {line}: {text} must come once; it is on line {lines[place]} too")
        places[place], lines[place] = (row["context"], row["action"]), line
        for name, cell in row.items():
            if name not in NODE_COLUMNS:
                columns.setdefault(name, []).append(_number(name, cell, line))
    named = [name for name in columns if name not in SPECIAL_COLUMNS]
    if not named:
        raise CommandLineError(f"--features must have a column for every feature; got none in '{path}'")
    numbers = {name: np.asarray(values) for name, values in columns.items() if name in SPECIAL_COLUMNS}
    numbers.setdefault("log_reference", np.zeros(len(places)))  # the planner normalises
    return places, numbers | {"features": np.stack([np.asarray(columns[name]) for name in named], axis=1)}


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
