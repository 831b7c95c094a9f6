"""The checks of sample_complexity, on its table."""

import numpy as np

from banditlab.claims.checks import Check, interval
from banditlab.store import Table


def check(table: Table) -> list[Check]:
    """At the smallest eps: every constant, averaged over the starts, and the slope of every arm in the price."""
    finest = table.where(target=float(table["target"].min()))
    checks = []
    for arm in dict.fromkeys(table["arm"]):
        rows = finest.where(arm=arm)
        ratio, error = rows["labels"] / rows["predicted"], rows["labels_se"] / rows["predicted"]
        claim = f"{arm}: labels to KL {rows['target'][0]:.0e} over the prediction, mean over {len(ratio)} starts"
        checks.append(
            interval(
                claim, 1.0, float(ratio.mean()), float(np.hypot.reduce(error)) / len(ratio),
                allowance=float(rows["remainder"].max()),
                why="4 G* eps: second order in osc, with osc^2 <= G* ||.||^2_{V*} = 2 G* KL (Propositions 1 and 2)",
            )
        )  # fmt: skip
        slope, spread = slope_in_price(rows, "labels")
        expected, _ = slope_in_price(rows, "predicted")
        claim = f"{arm}: slope of log labels in log C_F(pi_0), plus 1, at KL {rows['target'][0]:.0e}"
        checks.append(interval(claim, 1.0 + expected, 1.0 + slope, spread))
    return checks


def slope_in_price(rows: Table, column: str) -> tuple[float, float]:
    """Least-squares slope of log(column) in log(price), and its standard error."""
    x = np.log(rows["price"])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    relative = rows["labels_se"] / rows["labels"]
    return float(weights @ np.log(rows[column])), float(np.hypot.reduce(weights * relative))
