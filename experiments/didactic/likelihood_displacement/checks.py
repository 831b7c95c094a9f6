"""The checks of `likelihood_displacement`: single steps and first steps exact, who falls and who does not."""

import numpy as np

from banditlab.claims.checks import Check, identity, interval, lower, upper
from banditlab.store import Table
from experiments.didactic.likelihood_displacement.steps import ALGORITHMS, NEGATIVE, SIDES

_ROUNDING = "rounding of float64"


def check(table: Table) -> list[Check]:
    """Single steps, starts and first steps exact; who falls and who does not."""
    return (
        _step_checks(table.where(part="step"))
        + _closed_checks(table.where(part="closed"))
        + _falls(table)
        + _tuned_checks(table)
    )


def _step_checks(rows: Table) -> list[Check]:
    checks = [upper("steps on one pair: worst error of the exact change", 1e-13, rows["worst"].max())]
    for algorithm in NEGATIVE:
        mine = rows.where(algorithm=algorithm)
        claim = f"{algorithm}, steps on one pair: changes off their first order, worst in units of c^2/2"
        why = "rounding of changes of 0.01"
        checks.append(upper(claim, 1.0, mine["bound"].max(), allowance=1e-9, why=why))
        for side in SIDES:
            one = mine.where(quantity=side)
            near, double = (one.where(x=size) for size in np.sort(one["x"])[:2])
            # In units of the step the error is of first order: what doubling changes bounds it, then extrapolation.
            slopes = [float((r["low"] / r["x"])[0]) for r in (near, double)]
            exact = float((near["high"] / near["x"])[0])
            allowance = abs(slopes[1] - slopes[0])
            claim = f"{algorithm}, one pair: slope of log pi, {side}, mean in the direction of the closed form"
            why = "what doubling the step changes, before the extrapolation removes it"
            checks.append(interval(claim, exact, 2 * slopes[0] - slopes[1], 0.0, allowance=allowance, why=why))
    return checks


def _closed_checks(closed: Table) -> list[Check]:
    checks = [
        upper("log pi_ref(chosen) where runs start: worst error", 1e-12, closed.where(quantity="start")["worst"].max())
    ]
    for algorithm in ALGORITHMS:
        rows = closed.where(algorithm=algorithm)
        first = rows.where(quantity="first step")
        for place in range(len(first)):
            name = f"{algorithm}, {first['prompts'][place]:g} x {first['samples'][place]:g}"
            claim, allowed = f"{name}: mean change of log pi(chosen) in Adam's first step", float(first["bound"][place])
            predicted, measured = first["predicted"][place], first["value"][place]
            why = "rounding of pulls that cancel, over Adam's epsilon"
            checks.append(identity(claim, predicted, measured, atol=allowed, why=why))
        claim = f"{algorithm}: Adam's first step, worst error of a seed in units of what rounding allows"
        checks.append(upper(claim, 1.0, (first["worst"] / first["bound"]).max()))
        claim = f"{algorithm}: Adam's first step off its first order, worst in units of rate^2/2"
        checks.append(upper(claim, 1.0, rows.where(quantity="first order")["worst"].max()))
        claim = f"{algorithm}: log pi(chosen) above minus the entropy of the winners, every seed and record"
        checks.append(upper(claim, 1e-12, rows.where(quantity="entropy")["worst"].max()))
    for algorithm in NEGATIVE:
        rows = closed.where(algorithm=algorithm)
        claim = f"{algorithm}: data sets with a single winner in which its likelihood falls at some record"
        checks.append(upper(claim, 0.0, rows.where(quantity="one winner falls")["value"].sum()))
        one = rows.where(quantity="single pair")
        claim = f"{algorithm}, a single pair: mean log pi(chosen) at the end, from the margin"
        checks.append(identity(claim, one["predicted"][0], one["value"][0], atol=1e-12, why=_ROUNDING))
        checks.append(upper(f"{algorithm}, a single pair: worst error of a record", 1e-12, one["worst"][0]))
    return checks


def _falls(table: Table) -> list[Check]:
    paths = table.where(part="path")
    checks = []
    for algorithm in ALGORITHMS:
        mine = paths.where(algorithm=algorithm)
        end = mine["x"].max()
        last = mine.where(x=end)
        if algorithm == "pref_ft":
            claim = "pref_ft: share of seeds in which log pi(chosen) ends lower, largest"
            checks.append(upper(claim, 0.0, last.where(quantity="chosen")["worst"].max()))
            continue
        for prompts, samples in _many(paths):
            name = f"{algorithm}, {prompts:g} x {samples:g}"
            cell = mine.where(prompts=prompts, samples=samples)
            for quantity, sign, what in (
                ("chosen", -1, "fall of log pi(chosen)"),
                ("margin", 1, "growth of the margin"),
            ):
                moved = cell.where(quantity=quantity, x=end)
                claim = f"{name}: {what} to the end, less 4 standard errors"
                checks.append(lower(claim, 0.0, sign * moved["value"][0] - 4 * moved["value_se"][0]))
            rising = cell.where(quantity="chosen")
            top = int(np.argmax(rising["value"]))
            claim = f"{name}: rise of log pi(chosen) before, less 4 standard errors"
            checks.append(lower(claim, 0.0, rising["value"][top] - 4 * rising["value_se"][top]))
            for step, sign, what in (
                (0.0, 1, "share of wins above mass at the start"),
                (end, -1, "mass above share of wins at the end"),
            ):
                share, mass = (cell.where(quantity=quantity, x=step) for quantity in ("net_share", "net_mass"))
                excess = sign * (share["value"][0] - mass["value"][0])
                error = np.hypot(share["value_se"][0], mass["value_se"][0])
                claim = f"{name}: net winners, {what}, less 4 standard errors"
                checks.append(lower(claim, 0.0, excess - 4 * error))
    return checks


def _tuned_checks(table: Table) -> list[Check]:
    """At the best rate, many prompts: the chosen fall further than at the small one while the reward grows."""
    tuned, paths = table.where(part="tuned"), table.where(part="path")
    end = tuned["x"].max()
    tuned, paths = tuned.where(x=end), paths.where(x=end)
    claim = "pref_ft, tuned rates: share of seeds in which log pi(chosen) ends lower, largest"
    checks = [upper(claim, 0.0, tuned.where(algorithm="pref_ft", quantity="chosen")["worst"].max())]
    for algorithm in NEGATIVE:
        for prompts, samples in _many(paths):
            cell = {"algorithm": algorithm, "prompts": prompts, "samples": samples}
            best, small = (rows.where(quantity="chosen", **cell) for rows in (tuned, paths))
            name = f"{algorithm}, {prompts:g} x {samples:g}, tuned rate"
            further = small["value"][0] - best["value"][0] - 4 * np.hypot(small["value_se"][0], best["value_se"][0])
            checks.append(
                lower(f"{name}: fall of log pi(chosen) beyond that at the small rate, less 4 errors", 0.0, further)
            )
            gain = tuned.where(quantity="reward", **cell)
            claim = f"{name}: reward gained over pi_ref all the same, less 4 standard errors"
            checks.append(lower(claim, 0.0, gain["value"][0] - 4 * gain["value_se"][0]))
            rival = tuned.where(quantity="reward", **cell | {"algorithm": "pref_ft"})
            more = gain["value"][0] - rival["value"][0] - 4 * np.hypot(gain["value_se"][0], rival["value_se"][0])
            checks.append(lower(f"{name}: and over Pref-FT, whose chosen rise, less 4 standard errors", 0.0, more))
    return checks


def _many(paths: Table) -> list[tuple[float, float]]:
    cells = set(zip(paths["prompts"].tolist(), paths["samples"].tolist(), strict=True))
    return sorted(cell for cell in cells if cell[0] > 1)
