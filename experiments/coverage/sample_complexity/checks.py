"""The checks of sample_complexity, on its table."""

import numpy as np

from banditlab.claims import Check, Table, interval

_WHY = "4 G* eps: second order in osc, with osc^2 <= G* ||.||^2_{V*} = 2 G* KL (Propositions 1 and 2)"


def check(table: Table) -> list[Check]:
    """At the smallest eps: every constant, averaged over the starts, and the slope of every arm in the price."""
    target = table["target"].min()
    checks = []
    for arm in dict.fromkeys(table["arm"].tolist()):
        rows = table.where(arm=arm, target=target)
        ratio, error = (rows[name] / rows["predicted"] for name in ("labels", "labels_se"))
        claim = f"{arm}: labels to KL {target:.0e} over the prediction, mean over {len(rows)} starts"
        spread = float(np.hypot.reduce(error)) / len(rows)
        allowance = float(rows["remainder"].max())
        checks.append(interval(claim, 1.0, float(ratio.mean()), spread, allowance=allowance, why=_WHY))
        if len(rows) > 1:
            (slope, spread), (expected, _) = (slope_in_price(rows, name) for name in ("labels", "predicted"))
            claim = f"{arm}: slope of log labels in log C_F(pi_0), plus 1, at KL {target:.0e}"
            checks.append(interval(claim, 1.0 + expected, 1.0 + slope, spread))
    return checks


def slope_in_price(rows: Table, column: str) -> tuple[float, float]:
    """Least-squares slope of log(column) in log(price), and its standard error."""
    x = np.log(rows["price"])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    relative = rows["labels_se"] / rows["labels"]
    return float(weights @ np.log(rows[column])), float(np.hypot.reduce(weights * relative))
