"""The checks of `label_scaling`."""

import numpy as np

from banditlab.claims.checks import Check, interval, upper
from banditlab.store import Table
from experiments.partial_coverage.label_scaling.laws import FIXED, LIFTED
from experiments.partial_coverage.label_scaling.runs import CONSTANT, CURVE, LIMIT


def check(table: Table) -> list[Check]:
    """The constant and the slope of both regimes; the law at p = 0; the exponent; where n >> C_F is not enough."""
    checks = []
    constants, curves = table.where(kind=CONSTANT), table.where(kind=CURVE)
    for regime in (FIXED, LIFTED):
        for beta in np.unique(table["beta"]):
            words = f"{regime} rewards, beta = {beta:g}"
            rows = constants.where(regime=regime, beta=beta)
            ratios = scaled(rows)
            error = np.sqrt(2 / rows["seeds"].sum())  # chi-squared of one degree of freedom
            why = "order of the remainder, (rad lam)^2 of Proposition 3"
            claim = f"2 n gap / (beta C_F), {words}, mean over all p at the most labels"
            checks.append(interval(claim, 1.0, ratios.mean(), error, allowance=rows["remainder"].max(), why=why))
            checks.append(_slope(rows, curves.where(regime=regime, beta=beta), words))
            if regime == LIFTED:
                checks.append(_exponent(rows, beta))
    limits = table.where(kind=LIMIT)
    for row in range(len(limits)):
        beta, mass, labels, exact, deviation = (
            limits[name][row] for name in ("beta", "mass", "labels", "exact", "deviation")
        )
        claim = f"gap/p against the law at p = 0, fixed rewards, beta = {beta:g}, n p = {labels * mass:g}"
        error = deviation / np.sqrt(limits["seeds"][row])
        why = "KL/p has a remainder of order p e^(2 theta), theta <= 4"
        checks.append(
            interval(claim, exact, limits["gap"][row] / mass, error, allowance=exact * mass * np.exp(8), why=why)
        )
    few = curves.where(regime=FIXED, mass=curves["mass"].min())
    few = few.where(labels=few["labels"][np.abs(few["labels"] * few["mass"] - 0.1).argmin()])
    least = (few["labels"] / few["price"]).min()
    claim = f"n above {least:.0f} C_F but n p = 0.1: 2 n gap / (beta C_F) is far from 1, at most"
    errors = few["gap_se"] * 2 * few["labels"] / (few["beta"] * few["price"])
    worst = int(scaled(few).argmax())
    return [*checks, upper(claim, 0.5, scaled(few)[worst] + 4 * errors[worst], why="four standard errors are added")]


def scaled(rows: Table) -> np.ndarray:
    """2 n gap / (beta C_F): 1 for many labels."""
    return 2 * rows["labels"] * rows["gap"] / (rows["beta"] * rows["price"])


def _slope(constants: Table, curves: Table, words: str) -> Check:
    """d log gap / d log n between the last point of every curve and the constants, averaged over the masses."""
    ends = [curves.where(mass=mass) for mass in constants["mass"]]
    last = [rows["labels"].argmax() for rows in ends]
    columns = {name: np.array([rows[name][k] for rows, k in zip(ends, last, strict=True)]) for name in curves.columns}
    lever = np.log(constants["labels"] / columns["labels"])
    slopes = np.log(constants["gap"] / columns["gap"]) / lever
    errors = np.sqrt(2 / constants["seeds"] + 2 / columns["seeds"]) / lever
    allowance = (columns["remainder"] / lever).max()
    why = "the remainder (rad lam)^2 of Proposition 3 at the fewer labels, over log n"
    claim = f"slope of log gap in log n, {words}"
    return interval(claim, -1.0, slopes.mean(), np.sqrt((errors**2).sum()) / len(errors), allowance=allowance, why=why)


def _exponent(rows: Table, beta: float) -> Check:
    """d log(n gap) / d log p between the two smallest masses: -(1 + beta), up to the factor (1 + p^beta)^2 of C_F."""
    small, large = rows.where(mass=rows["mass"].min()), rows.where(mass=np.sort(rows["mass"])[1])
    lever = float(np.log(large["mass"][0] / small["mass"][0]))
    values = [float(part["labels"][0] * part["gap"][0]) for part in (small, large)]
    odds = [float((part["mass"][0] / (1 - part["mass"][0])) ** beta) for part in (small, large)]
    allowance = (2 * np.log((1 + odds[1]) / (1 + odds[0])) + (2 + beta) * large["mass"][0]) / lever
    error = float(np.sqrt(2 / small["seeds"][0] + 2 / large["seeds"][0])) / lever
    claim = f"d log(n gap)/d log p with lifted rewards, beta = {beta:g}: -(1 + beta)"
    why = "the factor (1 + (p/(1-p))^beta)^2 (1-p)^-(1+beta) of C_F"
    return interval(claim, -(1 + beta), np.log(values[1] / values[0]) / lever, error, allowance=allowance, why=why)
