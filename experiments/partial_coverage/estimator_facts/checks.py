"""The checks of `estimator_facts`."""

import numpy as np

from banditlab.claims import Check, Table, identity, interval, lower, upper
from banditlab.exact.score_estimators import ESTIMATORS, NAIVE, REINFORCE, RLOO
from experiments.partial_coverage.estimator_facts.runs import ACTIONS, CENTRED, PEAKED, UNIFORM

_EPS = float(np.finfo(np.float64).eps)


def check(tables: dict[str, Table]) -> list[Check]:
    """Means against the exact gradient; variances against their closed forms and simulation; RLOO over REINFORCE."""
    checks = []
    for name in ESTIMATORS:
        rows, drawn = (tables[part].where(estimator=name) for part in ("enumerated", "simulated"))
        words = "0" if name == NAIVE else "the exact gradient"
        claim = f"{name}: largest error of its enumerated mean against {words}, in units of max|f|, {len(rows)} cases"
        # The weight of a sample is the exponential of k logarithms, off by eps in each; 8 roundings in each term.
        limit = rows["draws"] * (rows["rarest"] + 8) * _EPS
        worst = int(np.argmax(rows["error"] / limit))
        why = "k (max |log pi| + 8) roundings"
        checks.append(upper(claim, 0.0, rows["error"][worst], allowance=float(limit[worst]), why=why))
        if name != NAIVE:
            allowed = limit * np.sqrt(ACTIONS) / rows["size"]
            worst = int(np.argmax(np.abs(rows["along"] - 1) / allowed))
            claim = f"{name}: component of the mean along the exact gradient (the worst of {len(rows)})"
            atol = float(allowed[worst])
            checks.append(identity(claim, 1.0, rows["along"][worst], atol=atol, why=f"{why}, over |g|/max|f|"))
        worst = int(np.argmax(np.abs(rows["variance"] / rows["predicted"] - 1)))
        claim = f"{name}: variance in closed form, k = {rows['draws'][worst]} (the worst of {len(rows)})"
        predicted, variance = rows["predicted"][worst], rows["variance"][worst]
        checks.append(identity(claim, predicted, variance, rtol=1e-11, why="rounding of cancelling terms"))
        error = drawn["spread"] / np.sqrt(drawn["estimates"])
        # Where every estimate is equally far from the mean nothing is left to chance.
        distance = np.abs(drawn["simulated"] - drawn["variance"]) / (error + 1e-12 * drawn["variance"])
        worst = int(np.argmax(distance))
        claim = f"{name}: simulated variance, {drawn['family'][worst]}, t = {drawn['tilt'][worst]:g}, "
        claim += f"k = {drawn['draws'][worst]} (the worst of {len(drawn)})"
        value, variance = drawn["simulated"][worst], drawn["variance"][worst]
        checks.append(interval(claim, variance, value, error[worst], allowance=1e-12 * variance, why="rounding"))
    return checks + _ratio_checks(tables["enumerated"]) + _near_checks(tables["near"], tables["far"])


def _near_checks(near: Table, far: Table) -> list[Check]:
    """Next to the uniform reference: the sign by the number of actions, and how fast the slope settles."""
    worst = int(np.argmax(np.abs(near["gap"] / near["predicted_gap"] - 1)))
    claim = (
        f"near uniform: k (REINFORCE's - RLOO's variance), k -> infinity, from moments, A = {near['actions'][worst]}"
    )
    # Both sides are differences of terms of the size of the policy's variance, in double precision.
    rtol = 64 * _EPS * near["size"][worst] / abs(near["gap"][worst])
    predicted, found = near["predicted_gap"][worst], near["gap"][worst]
    checks = [identity(claim, predicted, found, rtol=rtol, why="64 roundings of the terms that cancel")]
    few, many = (near["limit"][chosen] for chosen in (near["actions"] < 9, near["actions"] > 9))
    claim = "near uniform, k -> infinity: {} ratio of RLOO's to REINFORCE's variance, {} than nine actions"
    checks += [lower(claim.format("smallest", "fewer"), 1.0, few.min())]
    checks += [upper(claim.format("largest", "more"), 1.0, many.max())]
    # u is odd about its middle, so the slope's expansion in the tilt has even powers alone.
    fine, coarse = (near.where(tilt=tilt) for tilt in (near["tilt"].min(), near["tilt"].max()))
    moved = (coarse["slope"] - fine["slope"]) / ((coarse["tilt"] / fine["tilt"]) ** 2 - 1)
    off = np.abs(fine["slope"] - moved - fine["predicted_slope"])
    worst = int(np.argmax(off - np.abs(moved) * coarse["tilt"] ** 2))
    claim = f"near uniform: (ratio - 1)/(size/4) at the uniform policy is (9 - A)/(A - 2), A = {fine['actions'][worst]}"
    allowed = float(4 * np.abs(moved[worst]) * coarse["tilt"][worst] ** 2 + 1e-6)
    why = "the next power of the tilt, and rounding over the size"
    value = float((fine["slope"] - moved)[worst])
    checks.append(identity(claim, fine["predicted_slope"][worst], value, atol=allowed, why=why))
    claim = "far from uniform, pi = ({}), k = {}: RLOO's variance over REINFORCE's"
    for policy, draws, ratio in zip(far["policy"], far["draws"], far["ratio"], strict=True):
        checks.append(upper(claim.format(policy, draws), 1.0, ratio))
    return checks


def _ratio_checks(table: Table) -> list[Check]:
    checks = []
    for k in np.unique(table["draws"]):
        ratio = ratios(table.where(family=CENTRED, draws=k), "variance")
        predicted = 1 + ACTIONS / ((ACTIONS - 2) * (k - 1))
        claim = f"pi uniform, f of mean zero, k = {k}: RLOO's variance over REINFORCE's = 1 + A/((A - 2)(k - 1))"
        checks.append(identity(claim, predicted, ratio[0], rtol=1e-11, why="rounding"))
    near, far = (ratios(table.where(family=family), "variance") for family in (UNIFORM, PEAKED))
    claim, limit = "of RLOO's variances over REINFORCE's", ratios(table.where(family=UNIFORM), "limit").min()
    checks.append(lower(f"{UNIFORM}, this tilt of four actions: smallest {claim}, {len(near)} cases", 1.0, near.min()))
    claim_limit = f"{UNIFORM}, this tilt: smallest {claim} as k -> infinity, in closed form"
    checks.append(lower(claim_limit, 1.0, limit, allowance=1e-12, why="rounding"))
    checks.append(upper(f"{PEAKED}: smallest {claim}, {len(far)} cases", 1.0, far.min()))
    return [*checks, lower(f"{PEAKED}: largest {claim}", 1.0, far.max())]


def ratios(table: Table, column: str) -> np.ndarray:
    """RLOO's value of a column over REINFORCE's, row by row."""
    return table.where(estimator=RLOO)[column] / table.where(estimator=REINFORCE)[column]
