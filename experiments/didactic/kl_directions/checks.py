"""The checks of `kl_directions`: one step, the boundary, the bandits' temperatures, the whole ways, the fits."""

import numpy as np

from banditlab import mode_seeking as ms
from banditlab.claims.checks import Check, identity, interval, lower, upper
from banditlab.store import Table
from experiments.didactic.kl_directions import steps

FORWARD, REVERSE = ms.DIRECTIONS
# log pi: 3 roundings of a log-softmax before and after the step, and as many in the gradient that makes it.
_ROUNDINGS = 64 * float(np.finfo(np.float64).eps)


def check(table: Table) -> list[Check]:
    """One step, the boundary and its share, the bandits' temperatures, the whole ways, the fits."""
    return [*_step_checks(table), *_plane_checks(table), *_way_checks(table), *_fit_checks(table)]


def _step_checks(table: Table) -> list[Check]:
    checks = []
    for direction in ms.DIRECTIONS:
        rows = table.where(part="step", case="remainder", direction=direction)
        small = np.argsort(rows["x"])[:2]
        slope = float(np.diff(np.log(rows["value"][small]))[0] / np.diff(np.log(rows["x"][small]))[0])
        third = table.where(part="step", case="third order", direction=direction)["value"][small] / rows["value"][small]
        why = "the third order, at most step^3 range^3/(18 sqrt 3) in each of the two remainders, over log 2"
        allowance = float(-np.log1p(-third).sum() / np.log(2))
        claim = f"{direction}: slope of the remainder of log pi(group) against the step (two smallest)"
        checks.append(identity(claim, 2.0, slope, atol=allowance, why=why))
        claim = f"{direction}: largest remainder over its bound step^2 range^2/8"
        checks.append(upper(claim, 1.0, rows["aux"].max(), allowance=1e-9, why="rounding"))
        exact = table.where(part="step", case="exact", direction=direction)
        worst = int(np.argmax(np.abs(exact["value"] / exact["predicted"] - 1)))
        claim = (
            f"{direction}: mean change of log pi(group) in a step of {exact['x'][worst]:g} (the worst of {len(exact)})"
        )
        pair = exact["predicted"][worst], exact["value"][worst]
        checks.append(identity(claim, *pair, rtol=1e-9, why="rounding of logs of about 5 over changes above 1e-5"))
        row = table.where(part="step", case="log ratio", direction=direction)
        claim = f"{direction}: log(pi_1/pi_2) moves by 100 (g_1 - g_2) in a step of 100 (mean, its way)"
        checks.append(identity(claim, row["predicted"][0], row["value"][0], rtol=1e-11, why="rounding"))
    return checks


def _plane_checks(table: Table) -> list[Check]:
    grid = table.where(part="plane", case="grid")
    wrong = ((grid["direction"] == REVERSE) != (grid["aux"] > 0)).sum()
    checks = [upper(f"cells of {len(grid)} whose simulated winner is not the boundary's", 0.0, wrong)]
    cells = table.where(part="plane", case="crossing")
    worst = int(np.argmax(np.abs(cells["value"] / cells["predicted"] - 1)))
    claim = f"p/((q1 + q2)/2) where the winner changes = tanh(z)/z, z = log({cells['x'][worst]:.3g})/2 (the worst)"
    # Log ratios of the policy are 3 or so and move by p log(q1/q2), p = 0.05.
    rtol = _ROUNDINGS * 4 / (0.05 * float(np.log(cells["x"].min())))
    why = "rounding of log pi over the move p log(q1/q2)"
    checks.append(identity(claim, cells["predicted"][worst], cells["value"][worst], rtol=rtol, why=why))
    share = table.where(part="plane", case="share")
    count, expected = share["aux"][0], share["predicted"][0]
    claim = f"share of targets uniform on the simplex of {share['x'][0]:.0f} bins for which reverse is faster"
    error = float(np.sqrt(expected * (1 - expected) / count))
    checks.append(interval(claim, expected, share["value"][0], error))
    critical = table.where(part="critical")
    for name in steps.BANDITS:
        row = critical.where(case=name)
        mean, value, predicted = row["x"][0], row["value"][0], row["predicted"][0]
        if np.isfinite(predicted):
            claim = f"{name}: temperature below which reverse is faster from pi_ref"
            why = "rounding of log pi over the move, at most 1e-12 of it"
            checks.append(identity(claim, predicted, value, rtol=1e-9, why=why))
        else:
            slowest = table.where(part="bandit", case=name)["value"].min()
            checks.append(lower(f"{name}: E_ref R = {mean:.3f} > 1/2: reverse is faster at every beta", 1.0, slowest))
    return checks


def _way_checks(table: Table) -> list[Check]:
    checks, ways = [], table.where(part="way")
    for name in ("R1", "R2"):
        for direction in ms.DIRECTIONS:
            rows = ways.where(case=name, direction=direction)
            worst = int(np.argmax(np.abs(rows["value"] / rows["predicted"] - 1)))
            claim = (
                f"{name}, {direction}: time to half-way, steps against flow (beta = {rows['x'][worst]:.3g}, the worst)"
            )
            # To first order a step h is the flow of (1 + h H/2) times the gradient, H the Hessian.
            why = "h ||H||/2, the first order of a step h against the flow"
            allowance = rows["aux"][worst] / 2
            checks.append(identity(claim, rows["predicted"][worst], rows["value"][worst], rtol=allowance, why=why))
        agree = [_first(ways, name, column) for column in ("value", "predicted")]
        claim = f"{name}: temperatures at which the flow and the steps disagree on who is half-way first"
        checks.append(upper(claim, 0.0, (agree[0] != agree[1]).sum()))
    # The step's winner need not be the way's.
    sharp = ways["x"].min()
    times = [ways.where(case="R1", direction=direction, x=sharp)["value"][0] for direction in ms.DIRECTIONS]
    claim = f"R1, beta = {sharp:g}: time to half-way, forward over reverse, is above 1"
    checks.append(lower(claim, 1.0, times[0] / times[1]))
    bandit = table.where(part="bandit", case="R1")
    fastest = bandit["value"][(bandit["x"] > sharp / 2) & (bandit["x"] < 2 * sharp)].max()
    claim = f"R1, beta within a factor 2 of {sharp:g}: speed of one step, reverse over forward, is below 1"
    checks.append(upper(claim, 1.0, fastest))
    checks.append(upper("whole ways not half done", 0.0, np.isinf(ways["value"]).sum()))
    return checks


def _first(ways: Table, name: str, column: str) -> np.ndarray:
    times = [ways.where(case=name, direction=direction)[column] for direction in ms.DIRECTIONS]
    return times[1] < times[0]


def _fit_checks(table: Table) -> list[Check]:
    fits = table.where(part="fit")
    checks = []
    weights = sorted({name.split("w=")[1] for name in fits["case"].tolist()})
    for weight in weights:
        for quantity, name in (("mean", "E x"), ("second_moment", "E x^2")):
            rows = fits.where(case=f"{quantity}, w={weight}", direction=FORWARD)
            far = int(np.argmax(rows["x"]))
            claim = f"forward, w = {weight}: {name} of the fit = the mixture's, separation {rows['x'][far]:g}"
            why = "P(|N| > 6) of the components, cut at the ends of [-1, 1], and the gradient's norm"
            checks.append(identity(claim, rows["predicted"][far], rows["value"][far], atol=1e-7, why=why))
        rows = fits.where(case=f"seeking, w={weight}", direction=REVERSE)
        far = int(np.argmax(rows["x"]))
        claim = f"reverse, w = {weight}, separation {rows['x'][far]:g}: least KL = log 1/w, one mode is kept"
        why = "log 1/w less kl(pi(x > 0)||q(x > 0)), below which no pi with that mass can be"
        allowance = abs(rows["predicted"][far] - rows["aux"][far]) + 1e-12
        checks.append(identity(claim, rows["predicted"][far], rows["value"][far], atol=allowance, why=why))
        claim = f"reverse, w = {weight}: least KL is nowhere above log 1/w, the component's own"
        checks.append(upper(claim, -np.log(float(weight)), rows["value"].max(), allowance=1e-12, why="rounding"))
        for direction in ms.DIRECTIONS:
            rows = fits.where(case=f"divergence, w={weight}", direction=direction)
            claim = f"{direction}, w = {weight}: largest (least KL of the fit less least of a grid of members)"
            checks.append(upper(claim, 0.0, (rows["value"] - rows["predicted"]).max(), allowance=1e-12, why="rounding"))
    heavy = weights[-1]
    rows = fits.where(case=f"mean, w={heavy}", direction=REVERSE)
    leak = fits.where(case=f"leak, w={heavy}", direction=REVERSE)
    far = int(np.argmax(rows["x"]))
    claim = f"reverse, w = {heavy}, separation {rows['x'][far]:g}: mean of the fit = the larger mode"
    why = "2 TV from the component, by Pinsker, KL(pi||N_1) <= E_pi log(1 + w_2 N_2/(w_1 N_1))"
    allowance = 2 * float(np.sqrt(leak["value"][far] / 2)) + 1e-9
    checks.append(identity(claim, rows["predicted"][far], rows["value"][far], atol=allowance, why=why))
    rows = fits.where(case=f"mean, w={weights[0]}", direction=REVERSE)
    near = int(np.argmin(rows["x"]))
    claim = f"reverse, w = {weights[0]}, separation {rows['x'][near]:g}: |mean| of the fit, which keeps both modes"
    checks.append(upper(claim, 0.0, abs(rows["value"][near]), allowance=1e-9, why="rounding"))
    broad = fits.where(case=f"broad start, w={heavy}")
    far = int(np.argmax(broad["x"]))
    claim = f"reverse, w = {heavy}, separation {broad['x'][far]:g}: descent from q's moments ends above log 1/w"
    checks.append(lower(claim, broad["predicted"][far], broad["value"][far]))
    valley = fits.where(case=f"valley, w={heavy}", direction=FORWARD)
    far = int(np.argmax(valley["x"]))
    claim = f"forward, w = {heavy}, separation {valley['x'][far]:g}: mass in the middle third exceeds the target's"
    checks.append(lower(claim, valley["predicted"][far], valley["value"][far]))
    norms = np.concatenate([fits.where(case=f"gradient_norm, w={weight}")["value"] for weight in weights])
    checks.append(upper("largest norm of a gradient at a fit", 1e-8, norms.max(), why="a trust region's rounding"))
    return checks
