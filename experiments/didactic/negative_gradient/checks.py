"""The checks of `negative_gradient`: starts exact; who beats whom on R1 and R2; the crossing; the square."""

import numpy as np

from banditlab.claims.checks import Check, identity, lower, upper
from banditlab.didactic.problem import expected_reward, problem
from banditlab.store import Table
from experiments.didactic.negative_gradient.comparisons import CROSSING, R1, R2, RIVALS, SQUARE, WIDTH
from experiments.didactic.negative_gradient.runs import OFFLINE, ON_POLICY


def check(table: Table) -> list[Check]:
    """Starts and ceilings exact; who beats whom on R1 and R2; the crossing; the square."""
    failed = table.where(part="result")["failed"].max()
    checks = [upper("runs that were not finite", 0.0, failed), *_exact(table)]
    for first, second in RIVALS[:4]:
        at = _margin_rows(table, first, second)
        checks.append(_positive(f"offline, R1: {first} over {second}", at.where(peak=R1, width=WIDTH)))
    for first, second in RIVALS[:2]:
        rare, near = (_margin_rows(table, first, second).where(peak=peak, width=WIDTH) for peak in (R1, R2))
        gain, error = rare["reward"][0] - near["reward"][0], np.hypot(rare["reward_se"][0], near["reward_se"][0])
        claim = f"offline: what {first} gains over {second} on R1 less what it gains on R2, less 4 standard errors"
        checks.append(lower(claim, 0.0, gain - 4 * error))
    for first, second in RIVALS[4:]:
        rare, near = (_margin_rows(table, first, second).where(peak=peak) for peak in (R1, R2))
        checks.append(_positive(f"offline, R1 in every width: {second} over {first}", rare, sign=-1))
        if first in CROSSING:
            checks.append(_positive(f"offline, R2 in every width: {first} over {second}", near))
        else:
            checks.append(_positive(f"offline, R2: {second} over {first}", near.where(width=WIDTH), sign=-1))
    return checks + _square(table)


def _exact(table: Table) -> list[Check]:
    checks = []
    starts = table.where(part="result", first="dpo", sampler=OFFLINE, steps=0.0)
    for name, peak in (("R1", R1), ("R2", R2)):
        bandit = problem(peak, WIDTH)
        exact = float(expected_reward(bandit, bandit.log_reference))
        measured = starts.where(peak=peak, width=WIDTH)["start"][0]
        checks.append(identity(f"{name}: E_ref R where runs start", exact, measured, rtol=1e-12, why="rounding"))
    return checks


def _margin_rows(table: Table, first: str, second: str) -> Table:
    return table.where(part="margin", first=first, second=second, sampler=OFFLINE, second_sampler=OFFLINE)


def _positive(claim: str, rows: Table, *, sign: int = 1) -> Check:
    excess = (sign * rows["reward"] - 4 * rows["reward_se"]).min()
    return lower(f"{claim}, less 4 standard errors", 0.0, excess)


def _square(table: Table) -> list[Check]:
    """Both together beat either alone on R1."""
    checks = []
    for negative, likelihood in SQUARE:
        for sampler, other in ((OFFLINE, negative), (ON_POLICY, likelihood)):
            rows = table.where(part="margin", first=negative, sampler=ON_POLICY, second=other, second_sampler=sampler)
            claim = f"R1: {negative} on-policy over {other} {sampler.replace('_', '-')}"
            checks.append(_positive(claim, rows.where(peak=R1, width=WIDTH)))
    return checks
