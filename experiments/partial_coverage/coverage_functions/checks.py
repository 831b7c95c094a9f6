"""The checks of `coverage_functions`."""

import numpy as np

from banditlab.claims import Check, Table, identity, lower, upper

_EPS = float(np.finfo(np.float64).eps)


def check(tables: dict[str, Table]) -> list[Check]:
    """C_kl against its enclosure, its ends, that it rises, what a ball saves; what a bounded reward reaches."""
    curve, random, monotone = (tables[part] for part in ("two_actions", "random_bandits", "monotone"))
    checks = [_enclosed("two actions", curve), _enclosed("worst of random bandits", random)]
    checks.append(upper("random bandits whose C_kl leaves the enclosure", 0.0, random["outside"].sum()))
    for name, rows in (("two actions", curve.where(radius=0.0)), ("random bandits", random.where(radius=0.0))):
        largest, atol = rows["coverage"].max(), rows["upper"].max() - 1
        checks.append(
            identity(f"{name}: largest C_kl(0) = 1", 1.0, largest, atol=atol, why="a kl of 8 ulp, as enclosed")
        )
    claim = f"falls of C_kl from one radius to the next, {monotone['values'][0]} values"
    checks.append(upper(claim, 0.0, monotone["falls"][0]))
    some = curve.kept(curve["mass"] > 0)
    far = some.kept(some["radius"] >= -np.log(some["mass"]))
    shares = far["coverage"] * far["mass"]
    claim = f"C_kl(e) = C_glo = 1/p for e >= log 1/p, e = inf included (the worst of {len(far)})"
    checks.append(identity(claim, 1.0, shares[np.argmax(np.abs(shares - 1))], rtol=1e-12, why="rounding"))
    infinite = float(np.isposinf(curve.where(mass=0.0, radius=np.inf)["coverage"][0]))
    checks.append(identity("pi_ref misses the action: C_glo = +inf", 1.0, infinite, why="exact"))
    finite = curve.kept((curve["mass"] == 0) & np.isfinite(curve["radius"]))["coverage"].max()
    checks.append(identity("pi_ref misses the action: C_kl(e) stays that of the others", 1.0, finite, why="exact"))
    # kl(q||p) <= q log(1/p) for q >= p: a ball with e <= log 1/p holds a q of at least e/log(1/p).
    near = some.kept((some["radius"] > 0) & (some["radius"] <= -np.log(some["mass"])))
    share = near["coverage"] * near["mass"] * -np.log(near["mass"]) / near["radius"]
    claim = "smallest C_kl(e)/C_glo, in units of e/log(1/p)"
    checks.append(lower(claim, 1.0, share.min(), why="kl(q||p) <= q log 1/p"))
    return checks + _span_checks(tables["spans"])


def _span_checks(rows: Table) -> list[Check]:
    span, largest, attained = (rows[name] for name in ("span", "largest_divergence", "extremal_divergence"))
    lanes = f"of {rows['rewards'].sum()} random rewards"
    checks = [upper(f"largest E_x KL over s/beta, {lanes}", 1.0, (rows["divergence"] / span).max())]
    claim = f"largest E_x KL over its maximum c - 1 - log c, c = (s/beta)/(1 - e^(-s/beta)), {lanes}"
    checks.append(upper(claim, 1.0, (rows["divergence"] / largest).max()))
    worst = int(np.argmax(np.abs(attained / largest - 1)))
    claim = f"two actions attain that maximum (s/beta = {span[worst]:g}, the worst of {len(rows)})"
    # Z - 1 - log Z loses digits like eps/(s/beta)^2, which the library's KL does not.
    atol = 16 * _EPS * (1 + span[worst])
    checks.append(identity(claim, largest[worst], attained[worst], atol=atol, why="rounding"))
    ratio = (rows["ratio"] / rows["largest_ratio"]).max()
    claim = f"largest pi/pi_ref over e^(s/beta), {lanes}"
    return [*checks, upper(claim, 1.0, ratio, allowance=1e-12, why="rounding")]


def _enclosed(name: str, rows: Table) -> Check:
    """The C_kl that is nearest to an end of its enclosure, or farthest outside."""
    rows = rows.kept(np.isfinite(rows["coverage"]) & (rows["radius"] > 0) & (rows["coverage"] > 1))
    middle, half = (rows["lower"] + rows["upper"]) / 2, (rows["upper"] - rows["lower"]) / 2
    worst = int(np.argmax(np.abs(rows["coverage"] - middle) / half))
    claim = f"{name}: C_kl(e) enclosed by tilted policies and duality, e = {rows['radius'][worst]:g}"
    why = "width of the enclosure; 8 ulp of kl and 2^-60 of the bisection"
    return identity(claim, float(middle[worst]), rows["coverage"][worst], atol=float(half[worst]), why=why)
