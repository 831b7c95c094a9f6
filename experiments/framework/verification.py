"""Verification: every check of an experiment, and its fresh table against the committed one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from banditlab.store import Table, config_hash
from experiments.framework import places
from experiments.framework.checks import Check
from experiments.framework.comparison import compare
from experiments.framework.experiment import Experiment


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    passed: bool
    text: str


def verify(experiment: Experiment, preset: str, output: Path) -> Iterator[Verdict]:
    """Verdicts on the results at ``preset``; at "default" also on a committed paper table, not rerun.

    A missing, altered or stale table, fresh or committed, is a failure; so is an experiment without checks.
    """
    fresh = places.fresh(output, preset, experiment.name)
    problem = _problem(experiment, preset, fresh)
    if problem:
        command = f"python -m experiments run {experiment.name} --preset {preset}"
        yield Verdict(False, f"{experiment.name}: results {problem}; run `{command}`")
        return
    table = fresh.table()
    yield from checks(experiment, preset, table)
    kept = places.committed(preset, experiment.name)
    if kept is not None:
        yield _compared(experiment, preset, table, kept)
    paper = places.committed("paper", experiment.name)
    if preset == "default" and paper is not None and paper.exists():
        problem = _problem(experiment, "paper", paper)
        if problem:
            yield Verdict(False, f"{experiment.name} [paper]: committed table {problem}{_hint('paper')}")
        else:
            yield from checks(experiment, "paper", paper.table())


def checks(experiment: Experiment, preset: str, table: Table) -> Iterator[Verdict]:
    """Verdicts of the experiment's own checks on ``table``; having none is a failure."""
    label = f"{experiment.name} [{preset}]"
    found = experiment.check(table)
    if not found:
        yield Verdict(False, f"{label}: no checks; a claim without one is not finished")
    for check in found:
        yield Verdict(check.passed, f"{label}: {describe(check)}")


def state(experiment: Experiment, preset: str, output: Path) -> str:
    """One line on the fresh and the committed results, and on the shards that a run would reuse."""
    fresh = _problem(experiment, preset, places.fresh(output, preset, experiment.name)) or "present"
    kept = places.committed(preset, experiment.name)
    committed = "never committed" if kept is None else _problem(experiment, preset, kept) or "present"
    folder = places.shards_folder(output, experiment.name, config_hash(experiment.presets[preset]))
    shards = len(list(folder.glob(f"*-{experiment.source_hash()[:12]}.npz")))
    return f"results {fresh}; committed {committed}; {shards} shards to reuse"


def describe(check: Check) -> str:
    """Claim, prediction, measurement, interval, power and the source of the tolerance, in one line."""
    power = f"an error of {check.power:.2%}" if check.predicted else "no relative error, 0 being predicted"
    return (
        f"{check.claim}: predicted {check.predicted:.6g}, measured {check.measured:.6g}, "
        f"interval [{check.low:.6g}, {check.high:.6g}] ({check.tolerance_source}), "
        f"catches {power}"
    )


def _problem(experiment: Experiment, preset: str, result: places.Result) -> str | None:
    if not result.exists():
        return "missing"
    return result.problem(experiment.source_hash(), config_hash(experiment.presets[preset]))


def _hint(preset: str) -> str:
    return f"; run it, look at it, then `python -m experiments figures --preset {preset} --update`"


def _compared(experiment: Experiment, preset: str, table: Table, kept: places.Result) -> Verdict:
    label = f"{experiment.name} [{preset}] committed table"
    problem = _problem(experiment, preset, kept)
    if problem:
        return Verdict(False, f"{label}: {problem}{_hint(preset)}")
    found = compare(table, kept.table())
    return Verdict(found.kind != "different", f"{label}: {found.kind} ({found.detail})")
