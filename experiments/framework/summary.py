"""A saved table at a glance: the claim, the facts of its record, its columns with their ranges."""

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from banditlab.store import Table
from experiments.framework import places
from experiments.framework.arguments import CommandLineError
from experiments.framework.experiment import Experiment

FACTS = ("created", "commit", "machine", "num_devices", "dtype", "cost", "failures")


def show(experiment: Experiment, preset: str, output: Path) -> Table:
    """Print a summary of the fresh table, or else of the committed one; returns the table."""
    candidates = (places.fresh(output, preset, experiment.name), places.committed(preset, experiment.name))
    result = next((item for item in candidates if item is not None and item.exists()), None)
    if result is None:
        raise CommandLineError(
            f"NAME {experiment.name} must have results at preset {preset}; got none in '{output}' "
            f"(`python -m experiments run {experiment.name} --preset {preset}`)"
        )
    table = result.table()
    record = json.loads(result.file(".json").read_bytes())
    console = Console(highlight=False, markup=False)
    console.print(f"{experiment.name}: {experiment.claim}", soft_wrap=True)
    console.print(f"{result.file('.csv')}: {len(table)} rows", soft_wrap=True)
    for fact in FACTS:
        console.print(f"  {fact}: {record.get(fact)}", soft_wrap=True)
    grid = Grid("column", "values")
    for name, values in table.columns.items():
        grid.add_row(name, _values(values))
    console.print(grid)
    return table


def _values(values: np.ndarray) -> str:
    distinct = np.unique(values).tolist()
    if len(distinct) <= 6:
        return ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in distinct)
    if values.dtype.kind == "U":
        return f"{len(distinct)} texts"
    return f"{distinct[0]:.6g} to {distinct[-1]:.6g}"
