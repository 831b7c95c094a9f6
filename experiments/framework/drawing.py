"""Drawing figures from saved tables, and the one way by which committed results change."""

from pathlib import Path

from banditlab.store import config_hash, write_atomically
from experiments.framework import places
from experiments.framework.arguments import CommandLineError, require_writable
from experiments.framework.experiment import Experiment


def draw(experiment: Experiment, preset: str, output: Path) -> places.Result:
    """Draw the saved table at ``preset`` beside it as PNG, SVG and PDF; CommandLineError without a table."""
    from banditlab import plotting

    result = places.fresh(output, preset, experiment.name)
    if not result.exists():
        raise CommandLineError(f"{_wanted(experiment, preset)}; got no {result.file('.csv')}")
    plotting.save(experiment.figure(result.table()), result.file(""))
    return result


def update(experiment: Experiment, preset: str, result: places.Result) -> places.Result:
    """Copy the files of ``result`` to the committed folder; CommandLineError when they are stale."""
    target = places.committed(preset, experiment.name)
    if target is None:
        raise CommandLineError(f"--update must come with --preset default or paper; got {preset}")
    problem = result.problem(experiment.source_hash(), config_hash(experiment.presets[preset]))
    if problem:
        raise CommandLineError(f"{_wanted(experiment, preset)}; got one that is {problem}")
    require_writable("--update", target.folder)
    for suffix in (".csv", ".json", *places.DRAWN):
        write_atomically(target.file(suffix), result.file(suffix).read_bytes())
    return target


def _wanted(experiment: Experiment, preset: str) -> str:
    command = f"python -m experiments run {experiment.name} --preset {preset}"
    return f"NAME {experiment.name} must have a table of the present sources (`{command}`)"
