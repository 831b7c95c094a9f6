"""`python -m benchmarks.readme` writes the README's measured numbers anew, from the committed tables and report.

Seconds and numbers of checks come from figures/*.json and the tables beside them, speeds from benchmarks/report.json.
"""

import json
import re
from typing import Any

from banditlab.claims import registry
from banditlab.claims.selection import select
from benchmarks import language_model
from experiments import CHECKOUT

README = CHECKOUT / "README.md"
REPORT = CHECKOUT / "benchmarks" / "report.json"


def filled(text: str) -> str:
    """The README's text with every measured number replaced by the committed one."""
    for name in registry.names():
        experiment = registry.load(name)
        kept = select(experiment).committed()
        if kept is None:
            raise ValueError(f"claim {name} must have a committed table; it has none")
        seconds = round(kept.record()["cost"]["shard_seconds"])
        checks = len(experiment.checked(kept.tables()))
        row = re.compile(_row(name), flags=re.MULTILINE)
        text = _substituted(row, rf"\g<1>{max(seconds, 1)}\g<2>{checks}\g<3>", text)
    for pattern, numbers in _speeds(json.loads(REPORT.read_text())).items():
        text = _substituted(re.compile(pattern), numbers, text)
    return text


def measured(text: str) -> list[str]:
    """The places of the README's text that `filled` writes: every number in them is a committed one."""
    patterns = [*map(_row, registry.names()), *_speeds(json.loads(REPORT.read_text()))]
    return [match.group() for pattern in patterns for match in re.finditer(pattern, text, flags=re.MULTILINE)]


def _row(name: str) -> str:
    """A row of the table of claims: seconds and checks are between the groups."""
    return rf"(\| `{name}` \| )[\d,]*( \| .*? \| )\d*( \|)$"


def _speeds(report: dict[str, Any]) -> dict[str, str]:
    """Pattern -> what it is to read."""
    named = {}
    for row in report["seed-rounds against NumPy + SciPy"]:
        name = f"{row['case']}, n = {row['labels']:,.0f}"
        cells = (f"{row['ours_us']:.1f} us", f"{row['reference_us']:,.0f} us", f"{row['ratio']:.0f}")
        named[rf"\| {re.escape(name)} \|.*\|"] = f"| {name} | {' | '.join(cells)} | {row['first_call_s']:.1f} s |"
    _, billion, trillion = (row["relative"] for row in report["cost against the number of labels"])
    named[r"cost [\d.]+ and [\d.]+ times what"] = f"cost {billion:.2f} and {trillion:.2f} times what"
    for row in report["certified designs"][:3]:
        size = row["size (S, A, d)"]
        named[re.escape(size) + r" in [\d.]+ ms"] = f"{size} in {1e3 * row['minimum']:.1f} ms"
    curves = report["training curves"][0]
    named[r"20 actions: [\d.]+ s a call, \d+ times"] = (
        f"20 actions: {curves['call_s']:.1f} s a call, {curves['ratio']:.0f} times"
    )
    best, ipo = (row["ratio"] for row in report["didactic MLP, batches of 10 states x 10 draws, against NumPy"])
    named[r"Best-of-N \d+ times, offline IPO \d+ times"] = f"Best-of-N {best:.0f} times, offline IPO {ipo:.0f} times"
    calls = report["first call on the staircase, a process each"]
    small, large = (max(row["cold_s"] for row in calls if row["cold_wanted_s"] == bar) for bar in (3.0, 6.0))
    cached, imported = (max(row[name] for row in calls) for name in ("cached_s", "import_s"))
    named[r"at most [\d.]+ s with nothing .*? takes [\d.]+ s"] = (
        f"at most {small:.1f} s with nothing compiled ({large:.1f} s at 100,000 labels) and {cached:.1f} s with JAX's "
        f"persistent cache; `import banditlab` takes {imported:.1f} s"
    )
    tree, passes, steps, one_round = (row["call_s"] for row in report["language model, the command's default sizes"])
    thousand = 1000 * steps / language_model.SAVED_STEPS
    named[r"all 16 x 4096 responses in [\d.]+ s, .*? and eight rounds .*? [\d.]+ s"] = (
        f"all 16 x 4096 responses in {tree:.2f} s, {passes / tree:.0f} times faster than a pass for each; 1000 steps "
        f"of pretraining, each saved, take {thousand:.0f} s, and eight rounds of on-policy DPO with 2048 labels "
        f"{8 * one_round:.0f} s"
    )
    (memory,) = report["memory at (50, 64, 32), 1024 seeds"]
    named[r"peak at [\d.]+ GiB"] = f"peak at {memory['peak_gib']:.1f} GiB"
    return named


def _substituted(pattern: re.Pattern[str], replacement: str, text: str) -> str:
    text, count = pattern.subn(replacement, text)
    if count != 1:
        raise ValueError(f"README must have one place for {pattern.pattern!r}; it has {count}")
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
