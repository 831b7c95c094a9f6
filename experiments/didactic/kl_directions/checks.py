"""The checks of `kl_directions`: one step, the boundary, the bandits' temperatures, the whole ways, the fits."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, identity, interval, lower, upper
from banditlab.exact import step_remainders
from banditlab.theory import mode_seeking as ms

FORWARD, REVERSE = ms.DIRECTIONS
# Peak and width of the rewards; and the mass of either of the two bins under pi, in the plane.
BANDITS, MASS = {"R1": (70.0, 10.0), "R2": (20.0, 10.0), "wide": (20.0, 20.0)}, 0.05
# log pi: 3 roundings of a log-softmax before and after the step, and as many in the gradient that makes it.
_ROUNDINGS = 64 * float(np.finfo(np.float64).eps)


def check(tables: Mapping[str, Table]) -> list[Check]:
    """One step, the boundary and its share, the bandits' temperatures, the whole ways, the fits."""
    step, plane, share, bandit, way, fit = (tables[part] for part in ("step", "plane", "share", "bandit", "way", "fit"))
    checks = _step_checks(step) + _plane_checks(plane, share) + _bandit_checks(bandit)
    return checks + _way_checks(way, bandit) + _fit_checks(fit)


def _step_checks(table: Table) -> list[Check]:
    checks = []
    for direction in ms.DIRECTIONS:
        rows = table.where(direction=direction)
        two = rows.kept(np.argsort(rows["step"])[:2])
        slope, allowance = step_remainders.slope(two["step"], two["remainder"], two["third_order"])
        why = "the third order, at most step^3 range^3/(18 sqrt 3) in each of the two remainders, over log 2"
        claim = f"{direction}: slope of the remainder of log pi(group) against the step (two smallest)"
        checks.append(identity(claim, 2.0, slope, atol=allowance, why=why))
        claim = f"{direction}: largest remainder over its bound step^2 range^2/8"
        checks.append(upper(claim, 1.0, rows["remainder_ratio"].max(), allowance=1e-9, why="rounding"))
        worst, predicted, measured = _worst(rows, "change", "predicted")
        why, step = "rounding of logs of about 5 over changes above 1e-5", rows["step"][worst]
        claim = f"{direction}: mean change of log pi(group) in a step of {step:g} (the worst of {len(rows)})"
        checks.append(identity(claim, predicted, measured, rtol=1e-9, why=why))
        step, measured, predicted = (rows[name][0] for name in ("large_step", "ratio_move", "predicted_ratio_move"))
        claim = f"{direction}: log(pi_1/pi_2) moves by {step:g} (g_1 - g_2) in a step of {step:g} (mean, its way)"
        checks.append(identity(claim, predicted, measured, rtol=1e-11, why="rounding"))
    return checks


def _worst(rows: Table, measured: str, predicted: str) -> tuple[int, float, float]:
    """The row whose relative error is largest, its prediction and its measurement."""
    worst = int(np.argmax(np.abs(rows[measured] / rows[predicted] - 1)))
    return worst, rows[predicted][worst], rows[measured][worst]


def _plane_checks(plane: Table, share: Table) -> list[Check]:
    wrong = ((plane["winner"] == REVERSE) != (plane["excess"] > 0)).sum()
    checks = [upper(f"cells of {len(plane)} whose simulated winner is not the boundary's", 0.0, wrong)]
    worst, predicted, measured = _worst(plane, "crossing", "predicted")
    claim = f"p/((q1 + q2)/2) where the winner changes = tanh(z)/z, z = log({plane['ratio'][worst]:.3g})/2 (the worst)"
    # Log ratios of the policy are 3 or so and move by p log(q1/q2).
    rtol = _ROUNDINGS * 4 / (MASS * float(np.log(plane["ratio"].min())))
    checks.append(identity(claim, predicted, measured, rtol=rtol, why="rounding of log pi over the move p log(q1/q2)"))
    bins, measured, expected, draws = (share[name][0] for name in ("bins", "share", "predicted", "draws"))
    claim = f"share of targets uniform on the simplex of {bins:.0f} bins for which reverse is faster"
    return [*checks, interval(claim, expected, measured, float(np.sqrt(expected * (1 - expected) / draws)))]


def _bandit_checks(bandits: Table) -> list[Check]:
    checks = []
    for name in BANDITS:
        rows = bandits.where(bandit=name)
        if np.isfinite(rows["predicted"][0]):
            claim = f"{name}: temperature below which reverse is faster from pi_ref"
            why = "rounding of log pi over the move, at most 1e-12 of it"
            checks.append(identity(claim, rows["predicted"][0], rows["critical_beta"][0], rtol=1e-9, why=why))
        else:
            claim = f"{name}: E_ref R = {rows['mean_reward'][0]:.3f} > 1/2: reverse is faster at every beta"
            checks.append(lower(claim, 1.0, rows["speed_ratio"].min()))
    return checks


def _way_checks(ways: Table, bandits: Table) -> list[Check]:
    checks = []
    for name in ("R1", "R2"):
        rows = ways.where(bandit=name)
        for direction in ms.DIRECTIONS:
            worst, predicted, measured = _worst(rows, f"{direction}_time", f"{direction}_flow")
            beta = rows["beta"][worst]
            claim = f"{name}, {direction}: time to half-way, steps against flow (beta = {beta:.3g}, the worst)"
            # To first order a step h is the flow of (1 + h H/2) times the gradient, H the Hessian.
            why = "h ||H||/2, the first order of a step h against the flow"
            checks.append(identity(claim, predicted, measured, rtol=rows[f"{direction}_bend"][worst] / 2, why=why))
        flow, step = (rows[f"{REVERSE}_{how}"] < rows[f"{FORWARD}_{how}"] for how in ("flow", "time"))
        claim = f"{name}: temperatures at which the flow and the steps disagree on who is half-way first"
        checks.append(upper(claim, 0.0, (flow != step).sum()))
    # The step's winner need not be the way's.
    rows, bandit = ways.where(bandit="R1"), bandits.where(bandit="R1")
    sharp = rows["beta"].min()
    claim = f"R1, beta = {sharp:g}: time to half-way, forward over reverse, is above 1"
    checks.append(lower(claim, 1.0, (rows["forward_time"] / rows["reverse_time"])[rows["beta"].argmin()]))
    fastest = bandit["speed_ratio"][(bandit["beta"] > sharp / 2) & (bandit["beta"] < 2 * sharp)].max()
    claim = f"R1, beta within a factor 2 of {sharp:g}: speed of one step, reverse over forward, is below 1"
    checks.append(upper(claim, 1.0, fastest))
    unfinished = sum(np.isinf(ways[f"{direction}_time"]).sum() for direction in ms.DIRECTIONS)
    return [*checks, upper("whole ways not half done", 0.0, unfinished)]


def _farthest(rows: Table) -> dict[str, float]:
    """The row of the largest separation."""
    return {name: values[np.argmax(rows["separation"])] for name, values in rows.columns.items()}


def _fit_checks(fits: Table) -> list[Check]:
    checks = []
    for weight in np.unique(fits["weight"]):
        rows = fits.where(weight=weight)
        far = _farthest(rows)
        end = f"separation {far['separation']:g}"
        for quantity, name in (("mean", "E x"), ("second_moment", "E x^2")):
            claim = f"forward, w = {weight:g}: {name} of the fit = the mixture's, {end}"
            why = "P(|N| > 6) of the components, cut at the ends of [-1, 1], and the gradient's norm"
            checks.append(identity(claim, far[quantity], far[f"forward_{quantity}"], atol=1e-7, why=why))
        claim = f"reverse, w = {weight:g}, {end}: least KL = log 1/w, one mode is kept"
        why = "log 1/w less kl(pi(x > 0)||q(x > 0)), below which no pi with that mass can be"
        allowance = abs(far["one_mode_kl"] - far["side_floor"]) + 1e-12
        checks.append(identity(claim, far["one_mode_kl"], far["reverse_kl"], atol=allowance, why=why))
        claim = f"reverse, w = {weight:g}: least KL is nowhere above log 1/w, the component's own"
        checks.append(upper(claim, -np.log(weight), rows["reverse_kl"].max(), allowance=1e-12, why="rounding"))
        for direction in ms.DIRECTIONS:
            claim = f"{direction}, w = {weight:g}: largest (least KL of the fit less least of a grid of members)"
            excess = (rows[f"{direction}_kl"] - rows[f"{direction}_grid_kl"]).max()
            checks.append(upper(claim, 0.0, excess, allowance=1e-12, why="rounding"))
        if weight == 0.5:
            near, mean = (rows[name][np.argmin(rows["separation"])] for name in ("separation", "reverse_mean"))
            claim = f"reverse, w = {weight:g}, separation {near:g}: |mean| of the fit, which keeps both modes"
            checks.append(upper(claim, 0.0, abs(mean), allowance=1e-9, why="rounding"))
    weight = fits["weight"].max()
    far = _farthest(fits.where(weight=weight))
    end = f"separation {far['separation']:g}"
    claim = f"reverse, w = {weight:g}, {end}: mean of the fit = the larger mode"
    why = "2 TV from the component, by Pinsker, KL(pi||N_1) <= E_pi log(1 + w_2 N_2/(w_1 N_1))"
    allowance = 2 * float(np.sqrt(far["leak"] / 2)) + 1e-9
    checks.append(identity(claim, far["larger_mode"], far["reverse_mean"], atol=allowance, why=why))
    claim = f"reverse, w = {weight:g}, {end}: descent from q's moments ends above log 1/w"
    checks.append(lower(claim, far["one_mode_kl"], far["broad_kl"]))
    claim = f"forward, w = {weight:g}, {end}: mass in the middle third exceeds the target's"
    checks.append(lower(claim, far["middle"], far["forward_middle"]))
    norm = max(fits[f"{direction}_gradient_norm"].max() for direction in ms.DIRECTIONS)
    return [*checks, upper("largest norm of a gradient at a fit", 1e-8, norm, why="a trust region's rounding")]
