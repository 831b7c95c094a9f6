"""`python -m benchmarks`: all ratios in one process, with the device they were measured on."""

import json
from pathlib import Path

import jax

from banditlab.claims import jax_settings

jax_settings.configure()
jax.config.update("jax_enable_compilation_cache", False)  # a first call is one with nothing compiled

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from benchmarks import designs, didactic, drawing, first_calls, language_model, memory, simulation, trajectories


def main(report_file: Positional[Path | None] = None) -> None:
    """Measure everything and print the tables, which takes some four minutes.

    Args:
      report_file: Also write them there as JSON.
    """
    console = Console()
    device = jax_settings.describe_device()
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
        ("language model, the command's default sizes", language_model.costs),
        ("memory at (50, 64, 32), 1024 seeds", memory.peak),
    ):
        rows = measure()
        report[title] = rows
        shown = Table(*rows[0], title=title)
        for row in rows:
            shown.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(shown)
    if report_file is not None:
        report_file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks")
