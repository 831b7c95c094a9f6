"""The checks of `reward_accuracy`."""

import numpy as np

from banditlab.claims import Check, Table, identity, upper
from banditlab.exact.accurate_bad_policy import slope_remainder

_ROUNDING = 1e-12
# From here on the part of the gap's slope that vanishes with p is below 1/50 of the slope, for every reward tried.
_SMALL = 1e-3


def check(table: Table) -> list[Check]:
    """Gap, error and bound against their closed forms; the slope of the gap; the fall of the error; p = 0."""
    finite = table.kept(table["mass"] > 0)
    checks = []
    for name, words in (("gap", "gap"), ("error", "eps"), ("bound", "sqrt(C eps)")):
        # Relative to the terms, which nearly cancel where pi* is nearly pi.
        exact = finite[f"{name}_exact"]
        worst = int(np.argmax(np.abs(finite[name] - exact) / exact))
        claim = f"{words} in closed form (the worst of {len(finite)}, p = {finite['mass'][worst]:g})"
        checks.append(identity(claim, exact[worst], finite[name][worst], rtol=_ROUNDING, why="rounding"))
    checks += _decade_checks(finite)
    ratio = max(finite["gap"] / finite["bound"])
    checks.append(upper("largest gap over sqrt(C eps)", 1.0, ratio))
    last = finite.where(mass=finite["mass"].min())
    # With C = 1/(2p), which needs e^a <= 1/(2p): bound = beta sqrt(1 - p)|a - log((1 - p)/p)|, and half of it is taken
    # from the gap; what is left depends on p by p (1 + L) + |u| and less, L = log 1/p.
    for beta in np.unique(last["beta"]):
        rows = last.where(beta=beta)
        value = rows["gap"] - rows["bound"] / 2
        shift = rows["mass"] * np.abs(np.expm1(rows["reward"] / beta))
        allowed = beta * (rows["mass"] * (1 - np.log(rows["mass"])) + shift) + _ROUNDING * rows["bound"]
        worst = int(np.argmax(np.abs(value + beta * np.log(2)) / allowed))
        claim = f"beta = {beta:g}, p = {rows['mass'][0]:g}: gap = sqrt(C eps)/2 - beta log 2 (the worst of {len(rows)})"
        why = "p (1 + log 1/p) + |u| in units of beta, and rounding"
        checks.append(identity(claim, -beta * np.log(2), value[worst], atol=float(allowed[worst]), why=why))
    nothing = table.where(mass=0.0)
    lost = float((np.isneginf(nothing["objective"]) & np.isposinf(nothing["gap"])).mean())
    checks.append(identity(f"p = 0: share of {len(nothing)} with J = -inf and a gap of +inf", 1.0, lost, why="exact"))
    checks.append(upper("p = 0: largest eps", 0.0, nothing["error"].max(), why="one action is all that the pairs hold"))
    return checks


def _decade_checks(finite: Table) -> list[Check]:
    """From every small p to p/10: the gap's growth, the worst for each beta, and the error's fall."""
    # The masses of one beta and reward fall from row to row.
    start = np.flatnonzero((np.diff(finite["mass"]) < 0) & (finite["mass"][:-1] <= _SMALL))
    beta, reward, mass, gap = (finite[name][start] for name in ("beta", "reward", "mass", "gap"))
    slope, predicted = finite["gap"][start + 1] - gap, 0.5 * beta * np.log(10)
    remainder = slope_remainder(beta, reward, mass)
    tolerance = remainder + _ROUNDING * finite["gap"][start + 1]
    checks = []
    for value in np.unique(beta):
        own = np.flatnonzero((beta == value) & (remainder < 0.02 * beta))
        worst = own[np.argmax((np.abs(slope - predicted) / tolerance)[own])]
        claim = f"beta = {value:g}: gap(p/10) - gap(p) = (beta/2) log 10"
        claim += f" (the worst of {len(own)}, p = {mass[worst]:g})"
        why = "remainder of the closed form, and rounding"
        checks.append(identity(claim, predicted[worst], float(slope[worst]), atol=tolerance[worst], why=why))
    # eps ∝ p (1 - p) L^2, L = log((1 - p)/p) - a. From p to p/10 L grows by log 10 + s and 1 - p by the factor 1 + s or
    # less, s = p for p <= .1: where L >= 3 the ratio is below the bound.
    bound = (1 + (np.log(10) + _SMALL) / 3) ** 2 * (1 + _SMALL) / 10
    far = start[np.log((1 - mass) / mass) - reward / beta >= 3]
    claim = f"largest eps(p/10)/eps(p), of {len(far)} decades"
    fall = (finite["error"][far + 1] / finite["error"][far]).max()
    return [*checks, upper(claim, bound, fall, why="derived for L of at least 3")]
