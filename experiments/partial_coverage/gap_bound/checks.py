"""The checks of `gap_bound`."""

import numpy as np

from banditlab.claims import Check, Table, identity, lower, upper
from experiments.partial_coverage.gap_bound.exact_cases import CONTEXT_COLUMNS
from experiments.partial_coverage.gap_bound.runs import EPS, OWN

# J*, J and KL: a log-softmax is off by 3 (1 + |logit|) eps, which its exponential turns into a relative error; every
# term takes 4 more roundings and the sum over 15 cells 15.
_ROUNDINGS = 3 * (3 + 4 + 15)


def check(tables: dict[str, Table]) -> list[Check]:
    """The identity, every worst ratio, how sharp the bound is, that small balls break it, and the contexts."""
    checks = []
    for kind, constant in OWN.items():
        row = {name: values[0] for name, values in tables["identity"].where(policy=kind).columns.items()}
        why = f"{_ROUNDINGS} roundings of (1 + |logit|)(terms of J)"
        claim = f"{kind}: mean of J* - J over {row['bandits']} bandits = mean of beta E_x KL(pi||pi*)"
        atol = _ROUNDINGS * EPS * row["scale"]
        checks.append(identity(claim, row["gap"], row["difference"], atol=atol, why=why))
        claim = f"{kind}: largest |J* - J - beta E_x KL(pi||pi*)|, in roundings of (1 + |logit|)(terms of J)"
        checks.append(upper(claim, _ROUNDINGS, row["rounding"]))
        worst = tables["ratios"].where(policy=kind, constant=constant, level=1.0)["ratio"][0]
        claim = f"{kind}: largest gap over sqrt(C eps), C = {constant}, of {row['bandits']} bandits"
        checks.append(upper(claim, 1.0, worst))
    order = tables["identity"]["out_of_order"].sum()
    checks.append(upper("bandits in which least C <= C_kl(e) <= C_glo fails", 0.0, order))
    for constant in dict.fromkeys(tables["sharp"]["constant"].tolist()):
        checks += _sharp_checks(f"sharp, C = {constant:g}", tables["sharp"].where(constant=constant))
    for policy in dict.fromkeys(tables["small_balls"]["left_out"].tolist()):
        checks += _ball_checks(f"ball without {policy}", tables["small_balls"].where(left_out=policy))
    return checks + _context_checks(tables["contexts"])


def _sharp_checks(case: str, rows: Table) -> list[Check]:
    last = int(np.argmax(rows["reward_gap"]))
    size = rows["reward_gap"][last]
    # gap >= L (1 - 1/L) - 1 - log 2 or so, the bound is at most L + log L: 1 - ratio <= (log L + 3)/L.
    claim, why = f"{case}: gap over bound tends to 1 (L = {size:g})", "(log L + 3)/L, from the closed form"
    limit = identity(claim, 1.0, rows["ratio"][last], atol=float((np.log(size) + 3) / size), why=why)
    return [_closed_form(case, rows, 1e-12, "rounding"), limit]


def _ball_checks(case: str, rows: Table) -> list[Check]:
    # C_kl(0) is the root of a kl rounded to 4 ulp of 1: C_kl - 1 <= sqrt(8 eps/m), and half of it in the root.
    root = 0.5 * float(np.sqrt(8 * EPS / rows["mass"].min()))
    claim = f"{case}: the smallest gap over sqrt(C_kl eps) is above 1, such a ball is too small"
    why = "rounding, and C_kl(0) from a rounded kl"
    return [_closed_form(case, rows, root + 1e-12, why), lower(claim, 1.0, rows["ratio"].min())]


def _closed_form(case: str, rows: Table, rtol: float, why: str) -> Check:
    place = int(np.argmax(np.abs(rows["ratio"] / rows["predicted"] - 1)))
    claim = f"{case}: gap over bound (the worst of {len(rows)})"
    return identity(claim, rows["predicted"][place], rows["ratio"][place], rtol=rtol, why=why)


def _context_checks(contexts: Table) -> list[Check]:
    checks = []
    covered = contexts.kept(contexts["mass"] > 0)
    for name, words in CONTEXT_COLUMNS.items():
        measured, predicted = covered[name], covered[f"{name}_predicted"]
        place = int(np.argmax(np.abs(measured / predicted - 1)))
        claim = f"one uncovered context of {covered['contexts'][place]:.0f}: {words} (the worst of {len(covered)})"
        checks.append(identity(claim, predicted[place], measured[place], rtol=1e-12, why="rounding"))
    lost = np.stack([contexts.where(mass=0.0)[name] for name in CONTEXT_COLUMNS])
    claim, infinite = "no mass at all: share of means and maxima that are +inf", float(np.isposinf(lost).mean())
    return [*checks, identity(claim, 1.0, infinite, why="exact")]
