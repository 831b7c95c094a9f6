"""The checks of `extrapolation`."""

import numpy as np

from banditlab.claims import Check, Table, identity, interval, upper
from experiments.partial_coverage.extrapolation.runs import ARMS, SPANNED, UNSPANNED


def check(tables: dict[str, Table]) -> list[Check]:
    """Both arms against the closed forms in every setting, the condition's signs, the error's constant, the iff."""
    checks = []
    why = "the optimisers' error: Newton's of 1e-10 in margins, a gradient of 1e-8 over a curvature above 1e-2"
    for kind, words in ((SPANNED, "r/beta - log E_ref e^(r/beta)"), (UNSPANNED, "the same at P theta*")):
        rows = tables[kind]
        for arm in ARMS:
            worst = int(np.abs(rows[arm] - rows["predicted"]).argmax())
            claim = f"{kind}, {arm}: change of log pi = {words}, worst of {len(rows)}"
            checks.append(identity(claim, rows["predicted"][worst], rows[arm][worst], why=why, atol=1e-6))
    preferred, unseen = (tables[SPANNED].where(action=name) for name in ("preferred", "unseen"))
    for arm in ARMS:
        expected, both = (((preferred[own] < 0) & (unseen[own] > 0)).sum() for own in ("predicted", arm))
        claim = f"{arm}: settings where the unseen action rises and the preferred one falls, against the condition"
        checks.append(identity(claim, expected, both, why="no tolerance: a count"))
    row = {name: values[0] for name, values in tables["many_labels"].columns.items()}
    error, allowance = np.sqrt(2 / row["seeds"]), row["constant"] / row["labels"]  # chi-squared, one degree of freedom
    for arm in ARMS:
        claim = f"{arm}: n times the squared error of log pi(unseen) over its constant, n = {row['labels']:.0e}"
        ratio, why = row[f"{arm}_ratio"], "remainder of order 1/n"
        checks.append(interval(claim, 1.0, ratio, error, allowance=allowance, why=why))
    why = "Newton's error of 1e-10 in margins over the smallest singular value of the differences"
    for values in zip(*tables["ensemble"].columns.values(), strict=True):
        row = dict(zip(tables["ensemble"].columns, values, strict=True))
        words = f"{row['seen']:.0f} seen actions"
        claim = f"{words} of random features: the fit is P theta*, farthest of {row['bandits']:.0f}"
        checks.append(upper(claim, 0.0, row["off"], allowance=1e-6, why=why))
        if row["least_lost"] < 1e-9:
            claim = f"{words} span: ||theta_hat - theta*||, the largest"
            checks.append(upper(claim, 0.0, row["error"], allowance=1e-6, why=why))
        else:
            claim = f"{words} do not span: the largest ||theta_hat - theta*|| is that of (Id - P) theta*"
            checks.append(identity(claim, row["most_lost"], row["error"], why=why, atol=1e-6))
    return checks
