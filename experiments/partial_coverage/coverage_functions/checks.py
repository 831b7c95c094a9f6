"""The checks of `coverage_functions`."""

import numpy as np

from banditlab.claims.checks import Check, identity, lower, upper
from banditlab.store import Table
from experiments.partial_coverage.coverage_functions.runs import CURVE, EXTREMAL, RANDOM, RATIO, REACH

_EPS = float(np.finfo(np.float64).eps)


def check(table: Table) -> list[Check]:
    """C_kl against its enclosure, its ends, that it rises, what a ball saves; what a bounded reward reaches."""
    curve, random = (table.where(part=part) for part in (CURVE, RANDOM))
    checks = [_enclosed("two actions", curve), _enclosed("worst of random bandits", random)]
    checks.append(upper("random bandits whose C_kl leaves the enclosure", 0.0, random["out"].sum()))
    for name, rows in (("two actions", curve.where(x=0.0)), ("random bandits", random.where(x=0.0))):
        worst = int(np.argmax(rows["value"]))
        why = "a kl of 8 ulp, as enclosed"
        atol = rows["high"].max() - 1
        checks.append(identity(f"{name}: largest C_kl(0) = 1", 1.0, rows["value"][worst], atol=atol, why=why))
    monotone = table.where(part="monotone")
    checks.append(
        upper(f"falls of C_kl from one radius to the next, {monotone['count'][0]} values", 0.0, monotone["value"][0])
    )
    some = kept(curve, curve["mass"] > 0)
    far = kept(some, some["x"] >= -np.log(some["mass"]))
    worst = int(np.argmax(np.abs(far["value"] * far["mass"] - 1)))
    claim = f"C_kl(e) = C_glo = 1/p for e >= log 1/p, e = inf included (the worst of {len(far)})"
    checks.append(identity(claim, 1.0, far["value"][worst] * far["mass"][worst], rtol=1e-12, why="rounding"))
    infinite = float(np.isposinf(curve.where(mass=0.0, x=np.inf)["value"][0]))
    checks.append(identity("pi_ref misses the action: C_glo = +inf", 1.0, infinite, why="exact"))
    finite = kept(curve, (curve["mass"] == 0) & np.isfinite(curve["x"]))
    checks.append(
        identity("pi_ref misses the action: C_kl(e) stays that of the others", 1.0, finite["value"].max(), why="exact")
    )
    # kl(q||p) <= q log(1/p) for q >= p: a ball with e <= log 1/p holds a q of at least e/log(1/p).
    near = kept(some, (some["x"] > 0) & (some["x"] <= -np.log(some["mass"])))
    share = near["value"] * near["mass"] * -np.log(near["mass"]) / near["x"]
    checks.append(
        lower("smallest C_kl(e)/C_glo, in units of e/log(1/p)", 1.0, share.min(), why="kl(q||p) <= q log 1/p")
    )
    return checks + _span_checks(table)


def _span_checks(table: Table) -> list[Check]:
    reach, extremal, ratio = (table.where(part=part) for part in (REACH, EXTREMAL, RATIO))
    checks = []
    lanes = f"of {reach['count'].sum()} random rewards"
    checks.append(upper(f"largest E_x KL over s/beta, {lanes}", 1.0, float((reach["value"] / reach["x"]).max())))
    claim = f"largest E_x KL over its maximum c - 1 - log c, c = (s/beta)/(1 - e^(-s/beta)), {lanes}"
    checks.append(upper(claim, 1.0, float((reach["value"] / reach["high"]).max())))
    worst = int(np.argmax(np.abs(extremal["value"] / extremal["high"] - 1)))
    claim = f"two actions attain that maximum (s/beta = {extremal['x'][worst]:g}, the worst of {len(extremal)})"
    # Z - 1 - log Z loses digits like eps/(s/beta)^2, which the library's KL does not.
    atol = 16 * _EPS * (1 + extremal["x"][worst])
    checks.append(identity(claim, extremal["high"][worst], extremal["value"][worst], atol=atol, why="rounding"))
    largest = float((ratio["value"] / ratio["high"]).max())
    why = "rounding"
    checks.append(upper(f"largest pi/pi_ref over e^(s/beta), {lanes}", 1.0, largest, allowance=1e-12, why=why))
    return checks


def _enclosed(name: str, rows: Table) -> Check:
    """The C_kl that is nearest to an end of its enclosure, or farthest outside."""
    rows = kept(rows, np.isfinite(rows["value"]) & (rows["x"] > 0) & (rows["value"] > 1))
    middle, half = (rows["low"] + rows["high"]) / 2, (rows["high"] - rows["low"]) / 2
    worst = int(np.argmax(np.abs(rows["value"] - middle) / half))
    claim = f"{name}: C_kl(e) enclosed by tilted policies and duality, e = {rows['x'][worst]:g}"
    why = "width of the enclosure; 8 ulp of kl and 2^-60 of the bisection"
    return identity(claim, float(middle[worst]), rows["value"][worst], atol=float(half[worst]), why=why)


def kept(table: Table, rows: np.ndarray) -> Table:
    return Table({name: values[rows] for name, values in table.columns.items()}, table.meta)
