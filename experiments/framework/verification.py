"""Verification: every check of an experiment, and its fresh table against the committed one. Nothing is written.

Numbers beat stamps: a committed table whose stamp is old passes when the table of the present sources equals it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from banditlab.store import Table, config_hash
from experiments.framework import places
from experiments.framework.checks import Check
from experiments.framework.comparison import compare
from experiments.framework.experiment import Experiment

# Words but "pass" and "FAIL" are counted and do not fail.
Word = Literal["pass", "FAIL", "outdated", "sampled", "not compared"]


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    word: Word
    text: str


def judged(passed: bool, text: str) -> Verdict:
    """A verdict that passes or fails."""
    return Verdict("pass" if passed else "FAIL", text)


def verify(experiment: Experiment, preset: str, output: Path) -> Iterator[Verdict]:
    """Verdicts on the results at ``preset``; at "default" also on a committed paper table, which is not rerun.

    A fresh table that is missing, altered or stale is a failure; so are a committed one that is altered, made from a
    dirty tree or different, and an experiment without checks. A paper table whose sources have changed is outdated.
    """
    fresh = places.fresh(output, preset, experiment.name)
    problem = fresh.problem(experiment.source_hash(), config_hash(experiment.presets[preset]))
    if problem:
        command = f"python -m experiments run {experiment.name} --preset {preset}"
        yield Verdict("FAIL", f"{experiment.name}: results {problem}; run `{command}`")
        return
    yield from checks(experiment, preset, fresh.table())
    kept = places.committed(preset, experiment.name)
    if kept is not None:
        yield _compared(experiment, preset, fresh, kept)
    paper = places.committed("paper", experiment.name)
    if preset == "default" and paper is not None and paper.exists():
        yield from _unrepeated(experiment, "paper", paper)


def checks(experiment: Experiment, preset: str, table: Table) -> Iterator[Verdict]:
    """Verdicts of the experiment's own checks on ``table``; having none is a failure."""
    label = f"{experiment.name} [{preset}]"
    found = experiment.check(table)
    if not found:
        yield Verdict("FAIL", f"{label}: no checks; a claim without one is not finished")
    for check in found:
        yield judged(check.passed, f"{label}: {describe(check)}")


def state(experiment: Experiment, preset: str, output: Path) -> str:
    """A few words on the fresh and the committed results."""
    hashes = experiment.source_hash(), config_hash(experiment.presets[preset])
    fresh = places.fresh(output, preset, experiment.name).problem(*hashes) or "present"
    kept = places.committed(preset, experiment.name)
    committed = "never committed" if kept is None else kept.problem(*hashes) or "present"
    return f"results {fresh}; committed {committed}"


def describe(check: Check) -> str:
    """Claim, prediction, measurement, interval, power and the source of the tolerance, in one line."""
    power = f"an error of {check.power:.2%}" if check.predicted else "no relative error, 0 being predicted"
    return (
        f"{check.claim}: predicted {check.predicted:.6g}, measured {check.measured:.6g}, "
        f"interval [{check.low:.6g}, {check.high:.6g}] ({check.tolerance_source}), "
        f"catches {power}"
    )


def _hint(preset: str) -> str:
    return f"; run it, look at it, then `python -m experiments figures --preset {preset} --update`"


def _unfit(kept: places.Result) -> str | None:
    """Why a committed result cannot be judged by its numbers."""
    damage = kept.damage()
    if damage is None and kept.record().get("dirty"):
        return "made from a tree that differed from its commit"
    return damage


def _compared(experiment: Experiment, preset: str, fresh: places.Result, kept: places.Result) -> Verdict:
    label = f"{experiment.name} [{preset}] committed table"
    problem = _unfit(kept)
    if problem:
        return Verdict("FAIL", f"{label}: {problem}{_hint(preset)}")
    if not (places.is_float64(fresh.record()) and places.is_float64(kept.record())):
        return Verdict("not compared", f"{label}: float32 results are not compared with float64 ones")
    found = compare(fresh.table(), kept.table())
    old = kept.outdated(experiment.source_hash(), config_hash(experiment.presets[preset]))
    if found.kind == "different":
        reason = f"; {old}" if old else ""
        return Verdict("FAIL", f"{label}: {found.kind} ({found.detail}){reason}{_hint(preset)}")
    note = f"; {old}, the numbers have not: `figures --update` renews the stamp" if old else _sampled(kept, experiment)
    return Verdict("pass", f"{label}: {found.kind} ({found.detail}){note}")


def _sampled(kept: places.Result, experiment: Experiment) -> str:
    """Words on a stamp that rests on a sample of the shards."""
    for sample in places.confirmations(kept.record()):
        if sample["source_hash"] == experiment.source_hash():
            return f"; sampled {sample['sampled']} of {sample['of']} arms at {str(sample['commit'])[:12]}"
    return ""


def _unrepeated(experiment: Experiment, preset: str, kept: places.Result) -> Iterator[Verdict]:
    """Verdicts on a committed table that is not computed again: its checks count while its sources are the present."""
    label = f"{experiment.name} [{preset}]"
    problem = _unfit(kept)
    if problem:
        yield Verdict("FAIL", f"{label}: committed table {problem}{_hint(preset)}")
        return
    table = kept.table()
    if kept.outdated(experiment.source_hash(), config_hash(experiment.presets[preset])) is None:
        if sampled := _sampled(kept, experiment):
            yield Verdict("sampled", f"{label}: committed table{sampled}")
        yield from checks(experiment, preset, table)
        return
    commit = str(kept.record().get("commit"))[:12]
    yield Verdict("outdated", f"{label}: committed table, outdated since {commit}: its sources have changed")
    try:
        found = experiment.check(table)
    except (ValueError, KeyError) as error:  # it lacks a column, or a row, that the present checks read
        yield Verdict("outdated", f"{label}: its checks cannot be asked: {error}")
        return
    for check in found:
        yield Verdict("pass" if check.passed else "outdated", f"{label}: {describe(check)}")
