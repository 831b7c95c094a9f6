"""The checks of `reward_accuracy`."""

from collections.abc import Iterator

import numpy as np

from banditlab.claims.checks import Check, identity, upper
from banditlab.store import Table
from experiments.partial_coverage.reward_accuracy.laws import slope_remainder

_ROUNDING = 1e-12
# From here on the part of the gap's slope that vanishes with p is below 1/50 of the slope, for every reward tried.
_SMALL = 1e-3


def check(table: Table) -> list[Check]:
    """Gap, error and bound against their closed forms; the slope of the gap; the fall of the error; p = 0."""
    finite = Table({name: values[table["mass"] > 0] for name, values in table.columns.items()})
    checks = []
    for name, words in (("gap", "gap"), ("error", "eps"), ("bound", "sqrt(C eps)")):
        # Relative to the terms, which nearly cancel where pi* is nearly pi.
        worst = int(np.argmax(np.abs(finite[name] - finite[f"{name}_exact"]) / finite[f"{name}_exact"]))
        claim = f"{words} in closed form (the worst of {len(finite)}, p = {finite['mass'][worst]:g})"
        exact, value = finite[f"{name}_exact"][worst], finite[name][worst]
        checks.append(identity(claim, exact, value, rtol=_ROUNDING, why="rounding"))
    lanes = [finite.where(beta=beta, reward=reward) for beta, reward in lanes_of(finite)]
    steps = [step for lane in lanes for step in _steps(lane) if step["mass"] <= _SMALL]
    for beta in np.unique(finite["beta"]):
        own = [step for step in steps if step["beta"] == beta and step["remainder"] < 0.02 * beta]
        step = max(own, key=lambda step: abs(step["slope"] - step["predicted"]) / step["tolerance"])
        claim = f"beta = {beta:g}: gap(p/10) - gap(p) = (beta/2) log 10 (the worst of {len(own)}, p = {step['mass']:g})"
        why = "remainder of the closed form, and rounding"
        checks.append(identity(claim, step["predicted"], step["slope"], atol=step["tolerance"], why=why))
    # eps ∝ p (1 - p) L^2, L = log((1 - p)/p) - a. From p to p/10 L grows by log 10 + s and 1 - p by the factor 1 + s or
    # less, s = p for p <= .1: where L >= 3 the ratio is below the bound.
    bound = (1 + (np.log(10) + _SMALL) / 3) ** 2 * (1 + _SMALL) / 10
    falls = [lane["error"][i + 1] / lane["error"][i] for lane in lanes for i in range(len(lane) - 1) if _far(lane, i)]
    claim = f"largest eps(p/10)/eps(p), of {len(falls)} decades"
    checks.append(upper(claim, bound, max(falls), why="derived for L of at least 3"))
    ratio = max(finite["gap"] / finite["bound"])
    checks.append(upper("largest gap over sqrt(C eps)", 1.0, ratio))
    last = finite.where(mass=finite["mass"].min())
    # With C = 1/(2p), which needs e^a <= 1/(2p): bound = beta sqrt(1 - p)|a - log((1 - p)/p)|, and half of it is taken
    # from the gap; what is left depends on p by p (1 + L) + |u| and less, L = log 1/p.
    for beta in np.unique(last["beta"]):
        rows = last.where(beta=beta)
        left = rows["gap"] - rows["bound"] / 2 + beta * np.log(2)
        shift = rows["mass"] * np.abs(np.expm1(rows["reward"] / beta))
        allowed = beta * (rows["mass"] * (1 - np.log(rows["mass"])) + shift) + _ROUNDING * rows["bound"]
        worst = int(np.argmax(np.abs(left) / allowed))
        claim = f"beta = {beta:g}, p = {rows['mass'][0]:g}: gap = sqrt(C eps)/2 - beta log 2 (the worst of {len(rows)})"
        value = rows["gap"][worst] - rows["bound"][worst] / 2
        why = "p (1 + log 1/p) + |u| in units of beta, and rounding"
        checks.append(identity(claim, -beta * np.log(2), value, atol=float(allowed[worst]), why=why))
    nothing = table.where(mass=0.0)
    lost = float((np.isneginf(nothing["objective"]) & np.isposinf(nothing["gap"])).mean())
    checks.append(identity(f"p = 0: share of {len(nothing)} with J = -inf and a gap of +inf", 1.0, lost, why="exact"))
    checks.append(upper("p = 0: largest eps", 0.0, nothing["error"].max(), why="one action is all that the pairs hold"))
    return checks


def lanes_of(table: Table) -> list[tuple[float, float]]:
    return list(dict.fromkeys(zip(table["beta"].tolist(), table["reward"].tolist(), strict=True)))


def _steps(lane: Table) -> Iterator[dict[str, float]]:
    """From every p to p/10: the gap's growth, its prediction, the remainder and the tolerance."""
    for place in range(len(lane) - 1):
        beta, reward, mass = (float(lane[name][place]) for name in ("beta", "reward", "mass"))
        remainder = slope_remainder(beta, reward, mass)
        yield {
            "beta": beta,
            "mass": mass,
            "slope": float(lane["gap"][place + 1] - lane["gap"][place]),
            "predicted": 0.5 * beta * np.log(10),
            "remainder": remainder,
            "tolerance": remainder + _ROUNDING * float(lane["gap"][place + 1]),
        }


def _far(lane: Table, place: int) -> bool:
    """Whether L = log((1 - p)/p) - a is at least 3, and p small."""
    mass = lane["mass"][place]
    return bool(mass <= _SMALL and np.log((1 - mass) / mass) - lane["reward"][place] / lane["beta"][place] >= 3)
