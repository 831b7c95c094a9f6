"""The checks of `extrapolation`."""

import numpy as np

from banditlab.claims.checks import Check, identity, interval, upper
from banditlab.store import Table
from experiments.partial_coverage.extrapolation.laws import ENSEMBLE, SPANNED, UNSPANNED
from experiments.partial_coverage.extrapolation.runs import ARMS


def check(table: Table) -> list[Check]:
    """Both arms against the closed forms in every setting, the condition's signs, the error's constant, the iff."""
    checks = []
    why = "the optimisers' error: Newton's of 1e-10 in margins, a gradient of 1e-8 over a curvature above 1e-2"
    for kind, words in ((SPANNED, "r/beta - log E_ref e^(r/beta)"), (UNSPANNED, "the same at P theta*")):
        rows = table.where(kind=kind)
        for arm in ARMS:
            worst = int(np.abs(rows[f"{arm}_median"] - rows["predicted"]).argmax())
            claim = f"{kind}, {arm}: change of log pi = {words}, worst of {len(rows)}"
            predicted, measured = rows["predicted"][worst], rows[f"{arm}_median"][worst]
            checks.append(identity(claim, predicted, measured, why=why, atol=1e-6))
    preferred, unseen = (table.where(kind=SPANNED, quantity=name) for name in ("preferred", "unseen"))
    for arm in ARMS:
        both = (preferred[f"{arm}_median"] < 0) & (unseen[f"{arm}_median"] > 0)
        expected = (preferred["truth"] < 0) & (unseen["truth"] > 0)
        claim = f"{arm}: settings where the unseen action rises and the preferred one falls, against the condition"
        checks.append(identity(claim, expected.sum(), both.sum(), why="no tolerance: a count"))
    row = table.where(quantity="error")
    for arm in ARMS:
        claim = f"{arm}: n times the squared error of log pi(unseen) over its constant, n = {row['labels'][0]:.0e}"
        error = np.sqrt(2 / row["seeds"][0])  # chi-squared of one degree of freedom
        why = "remainder of order 1/n"
        allowance = row["truth"][0] / row["labels"][0]
        checks.append(interval(claim, 1.0, row[f"{arm}_mean"][0], error, allowance=allowance, why=why))
    for rows in (table.where(kind=ENSEMBLE, setting=size) for size in np.unique(table.where(kind=ENSEMBLE)["setting"])):
        size, lost = rows["setting"][0], rows["truth"][0]
        why = "Newton's error of 1e-10 in margins over the smallest singular value of the differences"
        claim = f"{size:.0f} seen actions of random features: the fit is P theta*, farthest of {rows['seeds'][0]:.0f}"
        checks.append(upper(claim, 0.0, rows["off"][0], allowance=1e-6, why=why))
        if lost < 1e-9:
            claim = f"{size:.0f} seen actions span: ||theta_hat - theta*||, the largest"
            checks.append(upper(claim, 0.0, rows["rlhf_median"][0], allowance=1e-6, why=why))
        else:
            claim = (
                f"{size:.0f} seen actions do not span: the largest ||theta_hat - theta*|| is that of (Id - P) theta*"
            )
            checks.append(identity(claim, rows["predicted"][0], rows["rlhf_median"][0], why=why, atol=1e-6))
    return checks
