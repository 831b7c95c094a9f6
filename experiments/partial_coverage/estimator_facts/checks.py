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
    return checks + _ratio_checks(tables["enumerated"])


def _ratio_checks(table: Table) -> list[Check]:
    checks = []
    for k in np.unique(table["draws"]):
        ratio = ratios(table.where(family=CENTRED, draws=k), "variance")
        predicted = 1 + ACTIONS / ((ACTIONS - 2) * (k - 1))
        claim = f"pi uniform, f of mean zero, k = {k}: RLOO's variance over REINFORCE's = 1 + A/((A - 2)(k - 1))"
        checks.append(identity(claim, predicted, ratio[0], rtol=1e-11, why="rounding"))
    near, far = (ratios(table.where(family=family), "variance") for family in (UNIFORM, PEAKED))
    claim, limit = "of RLOO's variances over REINFORCE's", ratios(table.where(family=UNIFORM), "limit").min()
    checks.append(lower(f"{UNIFORM}: smallest {claim}, {len(near)} cases", 1.0, near.min()))
    claim_limit = f"{UNIFORM}: smallest {claim} as k -> infinity, in closed form"
    checks.append(lower(claim_limit, 1.0, limit, allowance=1e-12, why="rounding"))
    checks.append(upper(f"{PEAKED}: smallest {claim}, {len(far)} cases", 1.0, far.min()))
    return [*checks, lower(f"{PEAKED}: largest {claim}", 1.0, far.max())]


def ratios(table: Table, column: str) -> np.ndarray:
    """RLOO's value of a column over REINFORCE's, row by row."""
    return table.where(estimator=RLOO)[column] / table.where(estimator=REINFORCE)[column]
