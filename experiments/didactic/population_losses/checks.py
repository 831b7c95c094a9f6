"""The checks of `population_losses`: growths and trained limits against closed forms; the losses without a limit."""

from banditlab.claims.checks import Check, identity, interval, upper
from banditlab.store import Table
from experiments.didactic.population_losses.laws import ENDLESS

# Published in the setting's own description: E of the best reward of ten draws from the reference.
BEST_OF_TEN = {"R1": 0.3135, "R2": 0.9401}


def check(table: Table) -> list[Check]:
    """Best-of-10 as published; growths and trained limits against closed forms; the losses without a limit."""
    checks = []
    for case, value in BEST_OF_TEN.items():
        row = table.where(part="value", case=case, name="best_of_n")
        claim = f"{case}: E R of the law of the best of ten draws"
        checks.append(identity(claim, value, row["value"][0], atol=5e-5, why="four digits are published"))
    for part, what, why in (
        ("growth", "growth of E R in a descent step", "a ratio's bias, by the deviations of its two means"),
        ("trained", "E R after training", "twice the bias to order 1/n, and what a 1/t approach has left"),
    ):
        rows = table.where(part=part)
        for place, name in enumerate(rows["name"].tolist()):
            numbers = (rows[column][place] for column in ("predicted", "value", "value_se"))
            allowance = rows["bias"][place] * rows["value_se"][place] + rows["left"][place]
            claim = f"{name}, {rows['case'][place]}: {what}"
            checks.append(interval(claim, *numbers, allowance=allowance, why=why if allowance else ""))
    checks.append(upper("runs that were not finite", 0.0, table.where(part="failed")["value"].sum()))
    for name in ENDLESS:
        row = table.where(part="least", name=name)
        claim = f"{name}: largest (over the rewards) of the least coefficients is negative, so that no minimum exists"
        checks.append(upper(claim, 0.0, row["value"].max()))
    return checks
