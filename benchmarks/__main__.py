"""`python -m benchmarks`: all ratios in one process, with the device they were measured on."""

import json
import sys
from pathlib import Path

import jax

from experiments.framework import session

session.configure()
jax.config.update("jax_enable_compilation_cache", False)  # a first call is one with nothing compiled

from rich.console import Console
from rich.table import Table

from benchmarks import designs, didactic, drawing, first_calls, memory, simulation, trajectories


def main() -> None:
    """Print the tables; with a path as the only argument, also write them there as JSON."""
    console = Console()
    device = session.describe_device()
    console.print(", ".join(f"{name} {value}" for name, value in device.items()))
    report: dict[str, object] = {"device": device}
    for title, measure in (
        ("seed-rounds against NumPy + SciPy", simulation.ratios),
        ("first call on the staircase, a process each", first_calls.seconds),
        ("cost against the number of labels", simulation.flatness),
        ("drawing counts", drawing.costs),
        ("certified designs", designs.costs),
        ("training curves", trajectories.costs),
        ("didactic MLP, batches of 10 states x 10 draws, against NumPy", didactic.speeds),
        ("memory at (50, 64, 32), 1024 seeds", memory.peak),
    ):
        rows = measure()
        report[title] = rows
        shown = Table(*rows[0], title=title)
        for row in rows:
            shown.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(shown)
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
