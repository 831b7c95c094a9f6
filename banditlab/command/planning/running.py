"""The label planner behind ``banditlab plan``: read, plan, print, write."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from banditlab import planner, plotting
from banditlab.command.planning import figure as plan_figure
from banditlab.command.planning import report as plan_report
from banditlab.command.planning.data import PlanData, read
from banditlab.errors import CommandLineError, require_no_folder, require_writable, writing
from banditlab.planner import Plan
from banditlab.store import plain, sha256_of_bytes, write_atomically
from banditlab.store.files import read_bytes
from banditlab.store.shards import LARGEST

_FORMULA = ("=", "+", "-", "@")


def run(
    data: Path, features: Path | None, *, kl: float, num_next: int, beta: float, ridge: float, output: Path
) -> list[Path]:
    """Plan, print the report and write it into ``output``; the files written.

    Raises CommandLineError for whatever the user can mend.
    """
    given = read(data, features)
    arrays = dict(given.arrays)
    columns = [arrays.pop(name) for name in ("context", "chosen", "rejected")]
    with _refused("--data" if features is None else "--data or --features"):
        env = planner.problem(**arrays, beta=beta)
        wins = planner.comparisons(env, *columns)
    require_writable("--out", output)
    require_no_folder("--out", (output / f"plan.{kind}" for kind in ("csv", "json", "png", "svg", "pdf")))
    with _refused("--kl"):
        plan = planner.plan(env, wins, kl=kl, num_next=num_next, ridge=ridge)
    settings = {"kl": kl, "next": num_next, "beta": beta, "ridge": ridge}
    plan_report.show(plan, given, settings)
    return _write(plan, given, {"data": data} | ({"features": features} if features else {}), settings, output)


def _write(plan: Plan, given: PlanData, files: dict[str, Path], settings: dict[str, float], output: Path) -> list[Path]:
    """plan.csv, plan.png, .pdf and .tex, and last plan.json with the checksum of the CSV; each whole or absent."""
    content = pairs_csv(plan, given)
    record = {
        "files": {
            name: {"path": str(path), "sha256": sha256_of_bytes(read_bytes(path, LARGEST))}
            for name, path in files.items()
        },
        "settings": settings,
        **plan_report.record(plan),
        "plan_csv_sha256": sha256_of_bytes(content),
    }
    with writing("--out", output):
        write_atomically(output / "plan.csv", content)
        drawn = plotting.save(plan_figure.draw(plan, settings), output / "plan")
        write_atomically(output / "plan.json", (json.dumps(plain(record), indent=1, allow_nan=False) + "\n").encode())
    return [output / "plan.csv", *drawn, output / "plan.json"]


def pairs_csv(plan: Plan, given: PlanData) -> bytes:
    """The next pairs with the ids of the user's files: context, action_a, action_b, labels."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["context", "action_a", "action_b", "labels"])
    for context, first, second in np.argwhere(plan.next_pairs).tolist():
        names = given.action_ids[context]
        ids = given.context_ids[context], names[first], names[second]
        writer.writerow([*map(_harmless, map(str, ids)), int(plan.next_pairs[context, first, second])])
    return buffer.getvalue().encode()


def _harmless(name: str) -> str:
    """An id as a cell that no spreadsheet evaluates: with an apostrophe before what begins a formula and no number."""
    if not name.startswith(_FORMULA):
        return name
    try:
        float(name)
    except ValueError:
        return f"'{name}"
    return name


@contextmanager
def _refused(argument: str) -> Iterator[None]:
    """What the library refuses at its door, as an error of the argument that it came from."""
    try:
        yield
    except ValueError as error:
        raise CommandLineError(f"{argument}: {error}") from error
