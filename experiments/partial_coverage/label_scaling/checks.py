"""The checks of `label_scaling`."""

import numpy as np

from banditlab.claims import Check, Table, below, interval
from experiments.partial_coverage.label_scaling.runs import FIXED, LIFTED


def check(tables: dict[str, Table]) -> list[Check]:
    """The constant and the slope of every regime; the law at p = 0; the exponent; where n >> C_F is not enough.

    Of another instance the first two alone.
    """
    checks, constants, curves = [], tables["constants"], tables["curves"]
    for regime in np.unique(constants["regime"]):
        for beta in np.unique(constants.where(regime=regime)["beta"]):
            words = f"{regime} rewards, beta = {beta:g}" if regime in (FIXED, LIFTED) else f"{regime}, beta = {beta:g}"
            rows = constants.where(regime=regime, beta=beta)
            error = np.sqrt(2 / rows["seeds"].sum())  # chi-squared of one degree of freedom, at most
            why = "order of the remainder, (rad lam)^2 of Proposition 3"
            claim = f"2 n gap / (beta C_F), {words}, mean over all p at the most labels"
            allowance = rows["remainder"].max()
            checks.append(interval(claim, 1.0, scaled(rows).mean(), error, allowance=allowance, why=why))
            checks.append(_slope(rows, curves.where(regime=regime, beta=beta), words))
            if regime == LIFTED and len(rows) > 1:
                checks.append(_exponent(rows, beta))
    return checks + _fixed_checks(curves.where(regime=FIXED), tables["limits"]) if "limits" in tables else checks


def scaled(rows: Table) -> np.ndarray:
    """2 n gap / (beta C_F): 1 for many labels."""
    return 2 * rows["labels"] * rows["gap"] / (rows["beta"] * rows["price"])


def _fixed_checks(curves: Table, limits: Table) -> list[Check]:
    checks = []
    for values in zip(*limits.columns.values(), strict=True):
        row = dict(zip(limits.columns, values, strict=True))
        mass, exact, cap = row["mass"], row["predicted"], row["reward"] / row["beta"] + row["margin"]
        claim = f"gap/p against the law at p = 0, fixed rewards, beta = {row['beta']:g}, n p = {row['labels'] * mass:g}"
        error, allowance = row["deviation"] / np.sqrt(row["seeds"]), exact * mass * np.exp(2 * cap)
        why = f"KL/p has a remainder of order p e^(2 theta), theta <= {cap:g}"
        checks.append(interval(claim, exact, row["gap"] / mass, error, allowance=allowance, why=why))
    few = curves.where(mass=curves["mass"].min())
    few = few.where(labels=few["labels"][np.abs(few["labels"] * few["mass"] - 0.1).argmin()])
    least, rate = (few["labels"] / few["price"]).min(), few["labels"][0] * few["mass"][0]
    claim = f"n above {least:.0f} C_F but n p = {rate:g}: 2 n gap / (beta C_F) is far from 1, at most"
    errors = few["gap_se"] * 2 * few["labels"] / (few["beta"] * few["price"])
    worst = int(scaled(few).argmax())
    return [*checks, below(claim, 0.5, scaled(few)[worst], errors[worst])]


def _slope(constants: Table, curves: Table, words: str) -> Check:
    """d log gap / d log n between the last point of every curve and the constants, averaged over the masses."""
    ends = [curves.where(mass=mass) for mass in constants["mass"]]
    last = Table.stack(rows.kept(np.asarray([rows["labels"].argmax()])) for rows in ends)
    lever = np.log(constants["labels"] / last["labels"])
    slopes = np.log(constants["gap"] / last["gap"]) / lever
    errors = np.sqrt(2 / constants["seeds"] + 2 / last["seeds"]) / lever
    allowance = (last["remainder"] / lever).max()
    why = "the remainder (rad lam)^2 of Proposition 3 at the fewer labels, over log n"
    claim = f"slope of log gap in log n, {words}"
    return interval(claim, -1.0, slopes.mean(), np.sqrt((errors**2).sum()) / len(errors), allowance=allowance, why=why)


def _exponent(rows: Table, beta: float) -> Check:
    """d log(n gap) / d log p between the two smallest masses: -(1 + beta), up to the factor (1 + p^beta)^2 of C_F."""
    ends = rows.kept(np.argsort(rows["mass"])[:2])
    lever = float(np.log(ends["mass"][1] / ends["mass"][0]))
    values, odds = ends["labels"] * ends["gap"], (ends["mass"] / (1 - ends["mass"])) ** beta
    allowance = (2 * np.log((1 + odds[1]) / (1 + odds[0])) + (2 + beta) * ends["mass"][1]) / lever
    error = np.sqrt((2 / ends["seeds"]).sum()) / lever
    claim = f"d log(n gap)/d log p with lifted rewards, beta = {beta:g}: -(1 + beta)"
    why = "the factor (1 + (p/(1-p))^beta)^2 (1-p)^-(1+beta) of C_F"
    return interval(claim, -(1 + beta), np.log(values[1] / values[0]) / lever, error, allowance=allowance, why=why)
