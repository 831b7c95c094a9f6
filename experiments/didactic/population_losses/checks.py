"""The checks of `population_losses`: growths and trained limits against closed forms; the losses without a limit."""

from collections.abc import Mapping

from banditlab.claims import Check, Table, identity, interval, upper
from banditlab.exact.population_losses import ENDLESS

# Published in the setting's own description: E of the best reward of ten draws from the reference.
BEST_OF_TEN = {"R1": 0.3135, "R2": 0.9401}


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Best-of-10 as published; growths and trained limits against closed forms; the losses without a limit."""
    checks = []
    best = tables["value"].where(method="best_of_n")
    if best["num_samples"][0] == 10:
        for bandit, value in BEST_OF_TEN.items():
            claim, measured = (
                f"{bandit}: E R of the law of the best of ten draws",
                best.where(bandit=bandit)["reward"][0],
            )
            checks.append(identity(claim, value, measured, atol=5e-5, why="four digits are published"))
    growth, trained = tables["growth"], tables["trained"]
    for name, case, predicted, measured, error, bias in _columns(growth, "method", "setting", "growth"):
        why = "a ratio's bias, by the deviations of its two means" if bias else ""
        claim = f"{name}, {case}: growth of E R in a descent step"
        checks.append(interval(claim, predicted, measured, error, allowance=bias * error, why=why))
    for name, left, predicted, measured, error, bias in _columns(trained, "method", "left", "reward"):
        why = "twice the bias to order 1/n, and what a 1/t approach has left"
        claim = f"{name}, {trained['actions'][0]} actions: E R after training"
        checks.append(interval(claim, predicted, measured, error, allowance=bias * error + left, why=why))
    checks.append(upper("runs that were not finite", 0.0, trained["failed"].sum()))
    for name in ENDLESS:
        least = tables["endless"].where(method=name)["coefficient"].max()
        claim = f"{name}: largest (over the rewards) of the least coefficients is negative, so that no minimum exists"
        checks.append(upper(claim, 0.0, least))
    return checks


def _columns(table: Table, first: str, second: str, measured: str):
    names = (first, second, "predicted", measured, f"{measured}_se", "bias")
    return zip(*(table[name].tolist() for name in names), strict=True)
