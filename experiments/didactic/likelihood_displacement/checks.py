"""The checks of `likelihood_displacement`: single steps and first steps exact, who falls and who does not."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, above, identity, interval, upper
from experiments.didactic.likelihood_displacement.runs import ALGORITHMS, NEGATIVE, SIDES


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Single steps, starts and first steps exact; who falls and who does not."""
    return _step_checks(tables["step"]) + _closed_checks(tables) + _falls(tables["path"]) + _tuned_checks(tables)


def _step_checks(rows: Table) -> list[Check]:
    checks = [upper("steps on one pair: worst error of the exact change", 1e-13, rows["error"].max())]
    for algorithm in NEGATIVE:
        mine = rows.where(algorithm=algorithm)
        claim = f"{algorithm}, steps on one pair: changes off their first order, worst in units of c^2/2"
        why = "rounding of changes of 0.01"
        checks.append(upper(claim, 1.0, mine["remainder"].max(), allowance=1e-9, why=why))
        for side in SIDES:
            one = mine.where(side=side)
            one = one.kept(np.argsort(one["size"])[:2])
            # In units of the step the error is of first order: what doubling changes bounds it, then extrapolation.
            near, double = one["directed"] / one["size"]
            exact = one["first_order"][0] / one["size"][0]
            claim = f"{algorithm}, one pair: slope of log pi, {side}, mean in the direction of the closed form"
            why = "what doubling the step changes, before the extrapolation removes it"
            checks.append(interval(claim, exact, 2 * near - double, 0.0, allowance=abs(double - near), why=why))
    return checks


def _closed_checks(tables: Mapping[str, Table]) -> list[Check]:
    closed = tables["closed"]
    checks = [upper("log pi_ref(chosen) where runs start: worst error", 1e-12, closed["start_error"].max())]
    for algorithm in ALGORITHMS:
        rows = closed.where(algorithm=algorithm)
        names = ("prompts", "samples", "predicted_first_step", "first_step", "first_step_bound")
        for prompts, samples, predicted, measured, bound in zip(*(rows[name] for name in names), strict=True):
            claim = f"{algorithm}, {prompts:g} x {samples:g}: mean change of log pi(chosen) in Adam's first step"
            why = "rounding of pulls that cancel, over Adam's epsilon"
            checks.append(identity(claim, predicted, measured, atol=bound, why=why))
        claim = f"{algorithm}: Adam's first step, worst error of a seed in units of what rounding allows"
        checks.append(upper(claim, 1.0, (rows["first_step_error"] / rows["first_step_bound"]).max()))
        claim = f"{algorithm}: Adam's first step off its first order, worst in units of rate^2/2"
        checks.append(upper(claim, 1.0, rows["first_order_error"].max()))
        claim = f"{algorithm}: log pi(chosen) above minus the entropy of the winners, every seed and record"
        checks.append(upper(claim, 1e-12, rows["entropy_excess"].max()))
    for algorithm in NEGATIVE:
        falls = closed.where(algorithm=algorithm)["one_winner_falls"].sum()
        claim = f"{algorithm}: data sets with a single winner in which its likelihood falls at some record"
        checks.append(upper(claim, 0.0, falls))
        if "single_pair" in tables:
            one = tables["single_pair"].where(algorithm=algorithm)
            claim = f"{algorithm}, a single pair: mean log pi(chosen) at the end, from the margin"
            why = "rounding of float64"
            checks.append(identity(claim, one["predicted"][0], one["end"][0], atol=1e-12, why=why))
            checks.append(upper(f"{algorithm}, a single pair: worst error of a record", 1e-12, one["error"][0]))
    return checks


def _falls(paths: Table) -> list[Check]:
    """At the small rate, many prompts: the chosen rise, then fall, once net winners have more mass than wins."""
    last = paths["step"].max()
    checks = []
    for algorithm, prompts, samples in _many(paths):
        name, cell = f"{algorithm}, {prompts:g} x {samples:g}", paths.where(prompts=prompts, samples=samples)
        rows = {name: cell.where(algorithm=algorithm)[name] for name in cell.columns}
        moves = (("chosen", -1, "fall of log pi(chosen)"), ("margin", 1, "growth of the margin"))
        for column, sign, what in moves:
            checks.append(above(f"{name}: {what} to the end", 0.0, sign * rows[column][-1], rows[f"{column}_se"][-1]))
        top = int(np.argmax(rows["chosen"]))
        checks.append(above(f"{name}: rise of log pi(chosen) before", 0.0, rows["chosen"][top], rows["chosen_se"][top]))
        errors = np.hypot(rows["net_share_se"], rows["net_mass_se"])
        excess = rows["net_share"] - rows["net_mass"]
        checks.append(above(f"{name}: net winners, share of wins above mass at the start", 0.0, excess[0], errors[0]))
        checks.append(above(f"{name}: net winners, mass above share of wins at the end", 0.0, -excess[-1], errors[-1]))
    claim = "pref_ft: share of seeds in which log pi(chosen) ends lower, largest"
    ends = paths.where(algorithm="pref_ft", step=last)
    return [*checks, upper(claim, 0.0, ends["chosen_falls"].max())]


def _tuned_checks(tables: Mapping[str, Table]) -> list[Check]:
    """At the best rate, many prompts: the chosen fall further than at the small one while the reward grows."""
    end = tables["tuned"]["step"].max()
    tuned, paths, falls = (tables[part].where(step=end) for part in ("tuned", "path", "pref_ft"))
    claim = "pref_ft, tuned rates: share of seeds in which log pi(chosen) ends lower, largest"
    checks = [upper(claim, 0.0, falls["falls"].max())]
    for algorithm, prompts, samples in _many(paths):
        cell = {"prompts": prompts, "samples": samples}
        best, small = (rows.where(algorithm=algorithm, **cell) for rows in (tuned, paths))
        rival = tuned.where(algorithm="pref_ft", **cell)
        name = f"{algorithm}, {prompts:g} x {samples:g}, tuned rate"
        error = np.hypot(small["chosen_se"][0], best["chosen_se"][0])
        claim = f"{name}: fall of log pi(chosen) beyond that at the small rate"
        checks.append(above(claim, 0.0, small["chosen"][0] - best["chosen"][0], error))
        gain, error = best["gain"][0], best["gain_se"][0]
        checks.append(above(f"{name}: reward gained over pi_ref all the same", 0.0, gain, error))
        more, error = gain - rival["gain"][0], np.hypot(error, rival["gain_se"][0])
        checks.append(above(f"{name}: and over Pref-FT, whose chosen rise", 0.0, more, error))
    return checks


def _many(paths: Table) -> list[tuple[str, float, float]]:
    """The losses with a negative gradient, each with all prompts x samples of more than one prompt."""
    cells = sorted(set(zip(paths["prompts"].tolist(), paths["samples"].tolist(), strict=True)))
    return [(algorithm, *cell) for algorithm in NEGATIVE for cell in cells if cell[0] > 1]
