"""The checks of `gap_bound`."""

import numpy as np

from banditlab.claims.checks import Check, identity, lower, upper
from banditlab.store import Table
from experiments.partial_coverage.gap_bound import exact_cases as cases
from experiments.partial_coverage.gap_bound.runs import EPS, OWN

# J*, J and KL: a log-softmax is off by 3 (1 + |logit|) eps, which its exponential turns into a relative error; every
# term takes 4 more roundings and the sum over 15 cells 15.
_ROUNDINGS = 3 * (3 + 4 + 15)


def check(table: Table) -> list[Check]:
    """The identity, every worst ratio, how sharp the bound is, that small balls break it, and the contexts."""
    checks = []
    for kind, constant in OWN.items():
        rows = table.where(part="identity", case=kind)
        rounding = table.where(part="rounding", case=kind)
        why = f"{_ROUNDINGS} roundings of (1 + |logit|)(terms of J)"
        claim = f"{kind}: mean of J* - J over {rows['count'][0]} bandits = mean of beta E_x KL(pi||pi*)"
        atol = _ROUNDINGS * EPS * rounding["predicted"][0]
        checks.append(identity(claim, rows["predicted"][0], rows["value"][0], atol=atol, why=why))
        claim = f"{kind}: largest |J* - J - beta E_x KL(pi||pi*)|, in roundings of (1 + |logit|)(terms of J)"
        checks.append(upper(claim, _ROUNDINGS, rounding["value"][0]))
        worst = table.where(part=f"ratio {constant}", case=kind, x=1.0)["value"][0]
        claim = f"{kind}: largest gap over sqrt(C eps), C = {constant}, of {rows['count'][0]} bandits"
        checks.append(upper(claim, 1.0, worst))
    order = table.where(part="order")["value"].sum()
    checks.append(upper("bandits in which least C <= C_kl(e) <= C_glo fails", 0.0, order))
    return checks + _exact_checks(table)


def _exact_checks(table: Table) -> list[Check]:
    checks = []
    for part in ("sharp", "left_out"):
        for case in dict.fromkeys(table.where(part=part)["case"].tolist()):
            rows = table.where(part=part, case=case)
            place = int(np.argmax(np.abs(rows["value"] / rows["predicted"] - 1)))
            claim = f"{case}: gap over bound (the worst of {len(rows)})"
            # C_kl(0) is the root of a kl rounded to 4 ulp of 1: C_kl - 1 <= sqrt(8 eps/m), and half of it in the root.
            root = 0.5 * float(np.sqrt(8 * EPS / rows["x"].min())) if part == "left_out" else 0.0
            why = "rounding, and C_kl(0) from a rounded kl" if root else "rounding"
            checks.append(identity(claim, rows["predicted"][place], rows["value"][place], rtol=root + 1e-12, why=why))
            if part == "left_out":
                claim = f"{case}: the smallest gap over sqrt(C_kl eps) is above 1, such a ball is too small"
                checks.append(lower(claim, 1.0, rows["value"].min()))
                continue
            last = int(np.argmax(rows["x"]))
            x = rows["x"][last]
            # gap >= L (1 - 1/L) - 1 - log 2 or so, the bound is at most L + log L: 1 - ratio <= (log L + 3)/L.
            claim = f"{case}: gap over bound tends to 1 (L = {x:g})"
            why = "(log L + 3)/L, from the closed form"
            checks.append(identity(claim, 1.0, rows["value"][last], atol=float((np.log(x) + 3) / x), why=why))
    contexts = table.where(part="contexts")
    for case in cases.CONTEXT_CASES:
        rows = contexts.where(case=case)
        finite = np.isfinite(rows["predicted"])
        place = int(np.argmax(np.where(finite, np.abs(rows["value"] / np.where(finite, rows["predicted"], 1) - 1), 0)))
        claim = f"one uncovered context of {rows['x'][place]:.0f}: {case} (the worst of {finite.sum()})"
        predicted, value = rows["predicted"][place], rows["value"][place]
        checks.append(identity(claim, predicted, value, rtol=1e-12, why="rounding"))
    lost = contexts.where(mass=0.0)
    infinite = float(np.isposinf(lost["value"]).mean())
    checks.append(identity("no mass at all: share of means and maxima that are +inf", 1.0, infinite, why="exact"))
    return checks
