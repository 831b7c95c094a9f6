"""Drawing figures from saved tables, and the one way by which committed results change."""

from pathlib import Path

from banditlab.store import config_hash, write_atomically
from experiments.framework import places
from experiments.framework.arguments import CommandLineError, require_writable
from experiments.framework.experiment import Experiment

# What a record says of its sources; the rest is about the computation that first gave these numbers.
STAMP = ("config", "config_hash", "source_hash", "commit", "dirty", "created", "versions", "circumstances", "shards")


def draw(experiment: Experiment, preset: str, output: Path) -> places.Result:
    """Draw the saved table at ``preset`` beside it as PNG, SVG and PDF; CommandLineError without a table."""
    from banditlab import plotting

    result = places.fresh(output, preset, experiment.name)
    if not result.exists():
        raise CommandLineError(f"{_wanted(experiment, preset)}; got no {result.file('.csv')}")
    plotting.save(experiment.figure(result.table()), result.file(""))
    return result


def update(experiment: Experiment, preset: str, result: places.Result) -> str:
    """Make ``result`` the committed one; a line that says what was written.

    Where the committed table is the same to the byte only its stamp is renewed: the record keeps the cost and the
    machine of the computation that it is about, and figures that come out the same stay as they are.

    Raises CommandLineError for stale or float32 results, and for the smoke preset.
    """
    target = places.committed(preset, experiment.name)
    if target is None:
        raise CommandLineError(f"--update must come with --preset default or paper; got {preset}")
    problem = result.problem(experiment.source_hash(), config_hash(experiment.presets[preset]))
    if problem:
        raise CommandLineError(f"{_wanted(experiment, preset)}; got one that is {problem}")
    fresh = result.record()
    if not places.is_float64(fresh):
        raise CommandLineError(f"--update must be of float64 results; got {fresh.get('dtype')}")
    require_writable("--update", target.folder)
    same = target.damage() is None and target.file(".csv").read_bytes() == result.file(".csv").read_bytes()
    record = fresh
    if same:
        kept = target.record()
        record = {name: value for name, value in kept.items() if name != "confirmed"}
        record |= {name: fresh[name] for name in STAMP} | {"cost": kept.get("cost", fresh["cost"])}
    for suffix in (".csv", *places.DRAWN):
        _replace(target.file(suffix), result.file(suffix).read_bytes())
    _replace(target.file(".json"), places.as_json(record))
    return f"{experiment.name}: {'stamp renewed' if same else 'committed'} -> {target.file('.csv')}"


def _replace(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def _wanted(experiment: Experiment, preset: str) -> str:
    command = f"python -m experiments run {experiment.name} --preset {preset}"
    return f"NAME {experiment.name} must have a table of the present sources (`{command}`)"
