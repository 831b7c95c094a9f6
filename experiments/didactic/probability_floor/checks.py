"""The checks of `probability_floor`: gradients and runs by hand; where the floor acts, and where it cannot."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, above, lower, upper
from banditlab.exact import clamped_losses as by_hand
from experiments.didactic.probability_floor.runs import ARMS, OFFLINE, ON_POLICY


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Gradients by hand; runs by hand; where the floor acts, and where it cannot."""
    checks = _gradient_checks(tables["gradient"])
    for algorithm, sampler in ARMS:
        checks += _arm_checks(tables, algorithm, sampler)
    effect = tables["effect"].where(algorithm="best_of_n_negative")
    claim = "best_of_n_negative offline: reward that the floor adds"
    return [*checks, above(claim, 0.0, effect["gain"][0], effect["gain_se"][0])]


def _gradient_checks(gradients: Table) -> list[Check]:
    checks = []
    for name in by_hand.ALGORITHMS:
        row = {column: values[0] for column, values in gradients.where(algorithm=name).columns.items()}
        claim = f"{name}: gradient with and without the floor, worst error in units of the largest"
        worst = max(row["error"], row["floored_error"])
        checks.append(upper(claim, 0.0, worst, allowance=1e-13, why="rounding"))
        claim = f"{name}: own gradient of actions below the floor, with it"
        why = "rounding over a mass of at least 1e-3"
        checks.append(upper(claim, 0.0, row["floored_own"], allowance=1e-12, why=why))
        claim = f"{name}: the same without it, in units of the largest gradient"
        if name == "ppo":
            checks.append(upper(f"{claim}: at most 2^-23 over the least reference mass", row["ppo_bound"], row["own"]))
        else:
            checks.append(lower(claim, 0.01, row["own"]))
    return checks


def _arm_checks(tables: Mapping[str, Table], algorithm: str, sampler: str) -> list[Check]:
    name = f"{algorithm} {sampler.replace('_', '-')}"
    effect = tables["effect"].where(algorithm=algorithm, sampler=sampler)
    claim = f"{name}: log pi with the floor less without, as long as no drawn action was below, largest"
    worst = effect["early_difference"][0]
    checks = [upper(claim, 0.0, worst, allowance=1e-9, why="rounding of another program")]
    if sampler == ON_POLICY:
        claim = f"{name}: probability that a draw is below the floor, every seed and record, at most A 2^-23"
        return [*checks, upper(claim, 100 * by_hand.EPSILON, effect["largest_below"][0])]
    rejected = tables["rejected"].where(algorithm=algorithm)
    claim = f"{name}: log pi along Adam, by hand with and without the floor, worst in units of rounding"
    checks.append(upper(claim, 1.0, (rejected["error"] / rejected["error_bound"]).max()))
    if algorithm == "pref_ft":
        claim = f"{name}: draws that end below the floor, of any seed"
        return [*checks, upper(claim, 0.0, effect["largest_below"][0])]
    last = rejected["step"].max()
    low = tables["path"].where(algorithm=algorithm, sampler=OFFLINE, step=last, floor=0)
    claim = f"{name}: share of draws that end below the floor"
    checks.append(above(claim, 0.25, low["below"][0], low["below_se"][0]))
    free, floored = (rejected.where(step=last, floor=floor) for floor in (0, 1))
    error = np.hypot(free["rejected_se"][0], floored["rejected_se"][0])
    claim = f"{name}: fall of log pi(rejected) that the floor prevents"
    return [*checks, above(claim, 0.0, floored["rejected"][0] - free["rejected"][0], error)]
