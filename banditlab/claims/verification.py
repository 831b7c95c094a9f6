"""Verification: every check of an experiment, and its fresh tables against the committed ones. Nothing is written.

Numbers beat stamps: a committed table whose stamp is old passes when the table of the present sources equals it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from banditlab.claims.comparison import compare
from banditlab.claims.result_files import Result, confirmations, elsewhere, is_float64
from banditlab.claims.selection import Selection, with_paper
from banditlab.errors import ClaimError

if TYPE_CHECKING:
    from banditlab.claims.checks import Check
    from banditlab.claims.experiment import Tables

# Words but "pass" and "FAIL" are counted and do not fail.
Word = Literal["pass", "FAIL", "cannot tell", "outdated", "sampled", "elsewhere", "not compared"]


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    word: Word
    text: str


def judged(passed: bool, text: str) -> Verdict:
    """A verdict that passes or fails."""
    return Verdict("pass" if passed else "FAIL", text)


def verify(selection: Selection) -> Iterator[Verdict]:
    """Verdicts on the results of a selection; at "default" also on a committed paper table, which is not rerun.

    A fresh table that is missing, altered or stale is a failure; so are a committed one that is altered, made from a
    dirty tree or different, and an experiment without checks. A table that differs from one of another processor or
    release is counted, its checks decide. A paper table whose sources have changed is outdated.
    """
    problem = selection.fresh.problem(*selection.hashes)
    if problem:
        yield Verdict("FAIL", f"{selection.label}: results {problem}; run `{selection.command('run')}`")
        return
    try:
        yield from checks(selection, selection.fresh.tables())
    except ClaimError:
        raise
    except (LookupError, ValueError) as error:
        yield Verdict("FAIL", str(selection.experiment.failed("check", error)))
        return
    kept = selection.committed()
    if kept is not None and kept.folder.is_dir():  # a claim of one's own need not commit anything
        yield _compared(selection, kept)
    paper = selection.committed("paper")
    if selection.preset == "default" and paper is not None and paper.exists():
        yield from _unrepeated(with_paper(selection), paper)


def checks(selection: Selection, tables: Tables) -> Iterator[Verdict]:
    """Verdicts of the experiment's own checks; having none is a failure.

    Where a field was set, or at the smoke preset, a check may be too weak to tell: that is no failure.
    """
    found = selection.experiment.checked(tables)
    if not found:
        yield Verdict("FAIL", f"{selection.label}: no checks; a claim without one is not finished")
    other_size = selection.is_set or selection.preset == "smoke"
    for check in found:
        text = f"{selection.label}: {describe(check)}"
        if other_size and check.weak:
            yield Verdict("cannot tell", f"{text}; cannot tell at this size")
        else:
            yield judged(check.passed, text)


def describe(check: Check) -> str:
    """Claim, prediction, measurement, interval, power and the source of the tolerance, in one line."""
    share = f"{check.power:.2%}" if check.power < 1 else f"{check.power:.3g} times the prediction"
    power = f"an error of {share}" if check.predicted else "no relative error, 0 being predicted"
    return (
        f"{check.claim}: predicted {check.predicted:.6g}, measured {check.measured:.6g}, "
        f"interval [{check.low:.6g}, {check.high:.6g}] ({check.tolerance_source}), "
        f"catches {power}"
    )


def state(selection: Selection) -> tuple[str, str]:
    """A few words on the fresh and on the committed results."""
    kept = selection.committed()
    committed = "-" if kept is None else kept.problem(*selection.hashes) or "present"
    return selection.fresh.problem(*selection.hashes) or "present", committed


def _hint(selection: Selection) -> str:
    return f"; run it, look at it, then `{selection.command('figures')} --update`"


def _unfit(kept: Result) -> str | None:
    """Why a committed result cannot be judged by its numbers."""
    damage = kept.damage()
    if damage is None and kept.record().get("dirty"):
        return "made from a tree that differed from its commit"
    return damage


def _compared(selection: Selection, kept: Result) -> Verdict:
    label = f"{selection.label} committed table"
    problem = _unfit(kept)
    if problem:
        return Verdict("FAIL", f"{label}: {problem}{_hint(selection)}")
    if not (is_float64(selection.fresh.record()) and is_float64(kept.record())):
        return Verdict("not compared", f"{label}: float32 results are not compared with float64 ones")
    found = compare(selection.fresh.tables(), kept.tables())
    old = kept.outdated(*selection.hashes)
    if found.kind == "different" and elsewhere(selection.fresh.record(), kept.record()):
        return Verdict("elsewhere", f"{label}: computed on another processor or release, {found.detail}")
    if found.kind == "different":
        reason = f"; {old}" if old else ""
        return Verdict("FAIL", f"{label}: {found.kind} ({found.detail}){reason}{_hint(selection)}")
    note = _sampled(selection, kept)
    if old and not found.same_draws:
        note = f"; {old}{_hint(selection)}"
    elif old:
        note = f"; {old}, the numbers have not: `{selection.command('figures')} --update` renews the stamp"
    return Verdict("pass", f"{label}: {found.kind} ({found.detail}){note}")


def _sampled(selection: Selection, kept: Result) -> str:
    """Words on a stamp that rests on a sample of the shards, or on a computation elsewhere."""
    for sample in confirmations(kept.record()):
        if sample["source_hash"] == selection.hashes[0]:
            if "agreement" in sample:
                return f"; computed elsewhere at {str(sample['commit'])[:12]}: {sample['agreement']}"
            return f"; sampled {sample['sampled']} of {sample['of']} arms at {str(sample['commit'])[:12]}"
    return ""


def _unrepeated(selection: Selection, kept: Result) -> Iterator[Verdict]:
    """Verdicts on a committed table that is not computed again: its checks count while its sources are the present."""
    label = selection.label
    problem = _unfit(kept)
    if problem:
        yield Verdict("FAIL", f"{label}: committed table {problem}{_hint(selection)}")
        return
    tables = kept.tables()
    if kept.outdated(*selection.hashes) is None:
        if sampled := _sampled(selection, kept):
            yield Verdict("sampled", f"{label}: committed table{sampled}")
        yield from checks(selection, tables)
        return
    commit = str(kept.record().get("commit"))[:12]
    yield Verdict("outdated", f"{label}: committed table, outdated since {commit}: its sources have changed")
    try:
        found = selection.experiment.checked(tables)
    except (LookupError, ValueError) as error:  # it lacks a part, a column or a row that the present checks read
        yield Verdict("outdated", f"{label}: its checks cannot be asked: {error}")
        return
    for check in found:
        yield Verdict("pass" if check.passed else "outdated", f"{label}: {describe(check)}")
