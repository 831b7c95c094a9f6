"""The checks of `negative_gradient`: starts exact; who beats whom on R1 and R2; the crossing; the square."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, above, identity, upper
from banditlab.didactic.problem import expected_reward, problem
from experiments.didactic.negative_gradient.runs import CROSSING, OFFLINE, ON_POLICY, R1, R2, RIVALS, SQUARE, WIDTH
from experiments.didactic.shared.tuned_tables import least_of


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Starts exact; who beats whom on R1 and R2; the crossing; the square."""
    results, margins = tables["result"], tables["margin"]
    checks = [upper("runs that were not finite", 0.0, results["failed"].max())]
    starts = results.where(method="dpo", sampler=OFFLINE, steps=0.0, width=WIDTH)
    for name, peak in (("R1", R1), ("R2", R2)):
        bandit = problem(peak, WIDTH)
        exact = float(expected_reward(bandit, bandit.log_reference))
        claim, measured = f"{name}: E_ref R where runs start", starts.where(peak=peak)["start"][0]
        checks.append(identity(claim, exact, measured, rtol=1e-12, why="rounding"))
    offline = margins.where(sampler=OFFLINE, second_sampler=OFFLINE)
    for first, second in RIVALS[:4]:
        at = offline.where(first=first, second=second, peak=R1, width=WIDTH)
        checks.append(least_of(f"offline, R1: {first} over {second}", at, "margin"))
    for first, second in RIVALS[:2]:
        both = offline.where(first=first, second=second, width=WIDTH)
        rare, near = (both.where(peak=peak) for peak in (R1, R2))
        gain, error = rare["margin"][0] - near["margin"][0], np.hypot(rare["margin_se"][0], near["margin_se"][0])
        claim = f"offline: what {first} gains over {second} on R1 less what it gains on R2"
        checks.append(above(claim, 0.0, gain, error))
    for first, second in RIVALS[4:]:
        rare, near = (offline.where(first=first, second=second, peak=peak) for peak in (R1, R2))
        checks.append(least_of(f"offline, R1 in every width: {second} over {first}", rare, "margin", sign=-1))
        if first in CROSSING:
            checks.append(least_of(f"offline, R2 in every width: {first} over {second}", near, "margin"))
        else:
            checks.append(least_of(f"offline, R2: {second} over {first}", near.where(width=WIDTH), "margin", sign=-1))
    for negative, likelihood in SQUARE:  # both together beat either alone
        for sampler, other in ((OFFLINE, negative), (ON_POLICY, likelihood)):
            rows = margins.where(first=negative, sampler=ON_POLICY, second=other, second_sampler=sampler)
            claim = f"R1: {negative} on-policy over {other} {sampler.replace('_', '-')}"
            checks.append(least_of(claim, rows.where(peak=R1, width=WIDTH), "margin"))
    return checks
