"""The checks of `probability_floor`: gradients and runs by hand; where the floor acts, and where it cannot."""

import numpy as np

from banditlab.claims.checks import Check, lower, upper
from banditlab.store import Table
from experiments.didactic.probability_floor import by_hand
from experiments.didactic.probability_floor.runs import ARMS, ON_POLICY


def check(table: Table) -> list[Check]:
    """Gradients by hand; runs by hand; where the floor acts, and where it cannot."""
    return _gradient_checks(table) + _run_checks(table)


def _gradient_checks(table: Table) -> list[Check]:
    checks = []
    gradients = table.where(part="gradient", quantity="own term")
    for name in by_hand.ALGORITHMS:
        rows = gradients.where(algorithm=name)
        claim = f"{name}: gradient with and without the floor, worst error in units of the largest"
        checks.append(upper(claim, 0.0, rows["worst"].max(), allowance=1e-13, why="rounding"))
        left = rows.where(floor=1)["value"][0]
        claim = f"{name}: own gradient of actions below the floor, with it"
        checks.append(upper(claim, 0.0, left, allowance=1e-12, why="rounding over a mass of at least 1e-3"))
        least = rows.where(floor=0)["value"][0]
        claim = f"{name}: the same without it, in units of the largest gradient"
        if name == "ppo":
            bound = rows.where(floor=0)["bound"][0]
            checks.append(upper(f"{claim}: at most 2^-23 over the least reference mass", bound, least))
        else:
            checks.append(lower(claim, 0.01, least))
    return checks


def _run_checks(table: Table) -> list[Check]:
    checks = []
    for algorithm, sampler in ARMS:
        name = f"{algorithm} {sampler.replace('_', '-')}"
        effect = table.where(part="effect", algorithm=algorithm, sampler=sampler)
        paths = table.where(part="path", algorithm=algorithm, sampler=sampler)
        claim = f"{name}: log pi with the floor less without, as long as no drawn action was below, largest"
        checks.append(upper(claim, 0.0, effect["worst"][0], allowance=1e-9, why="rounding of another program"))
        last = paths.where(step=paths["step"].max())
        if sampler == ON_POLICY:
            claim = f"{name}: probability that a draw is below the floor, every seed and record, at most A 2^-23"
            checks.append(upper(claim, 100 * by_hand.EPSILON, effect["bound"][0]))
            continue
        exact = table.where(part="by hand", algorithm=algorithm)
        claim = f"{name}: log pi along Adam, by hand with and without the floor, worst in units of rounding"
        checks.append(upper(claim, 1.0, (exact["worst"] / exact["bound"]).max()))
        low = last.where(quantity="below", floor=0)
        if algorithm == "pref_ft":
            checks.append(upper(f"{name}: draws that end below the floor, of any seed", 0.0, effect["bound"][0]))
            continue
        claim = f"{name}: share of draws that end below the floor, less 4 standard errors"
        checks.append(lower(claim, 0.25, low["value"][0] - 4 * low["value_se"][0]))
        ends = [last.where(quantity="rejected", floor=floor) for floor in (0, 1)]
        stopped = ends[1]["value"][0] - ends[0]["value"][0]
        error = np.hypot(ends[0]["value_se"][0], ends[1]["value_se"][0])
        claim = f"{name}: fall of log pi(rejected) that the floor prevents, less 4 standard errors"
        checks.append(lower(claim, 0.0, stopped - 4 * error))
    effect = table.where(part="effect", algorithm="best_of_n_negative")
    claim = "best_of_n_negative offline: reward that the floor adds, less 4 standard errors"
    checks.append(lower(claim, 0.0, effect["value"][0] - 4 * effect["value_se"][0]))
    return checks
