"""The checks of `attainability`."""

import numpy as np

from banditlab.claims import Check, Table, identity, interval, lower, upper
from experiments.partial_coverage.attainability.runs import ADAM, DPO


def check(tables: dict[str, Table]) -> list[Check]:
    """Limits of DPO, Adam's distance from them, HyPO's stationarity, and its first order in lambda."""
    dpo = {"population": tables["dpo"].where(optimizer=DPO), "finite": tables["datasets"]}
    checks = [one for labels, rows in dpo.items() for one in _dpo_checks(f"DPO, {labels} labels", rows)]
    adam, hypo = tables["dpo"].where(optimizer=ADAM), tables["hypo"]
    for beta in np.unique(adam["beta"]):
        end = adam.where(beta=beta)
        claim = f"Adam, beta = {beta:g}: distance to DPO's limit in log-probability, over what its gradient explains"
        distance = np.abs(end["log_ratio"] - end["predicted"]).max()
        checks.append(lower(claim, 1.0, distance / end["allowed"].max()))
    return [*checks, *_stationarity_checks(hypo), *_limit_checks(hypo)]


def _dpo_checks(name: str, trained: Table) -> list[Check]:
    share = np.abs(trained["log_ratio"] - trained["predicted"]) / trained["allowed"]
    claim = f"{name}: largest distance to the limit, over what gradient and rounding allow"
    checks = [upper(claim, 1.0, share.max())]
    for beta in np.unique(trained["beta"]):
        rows = trained.where(beta=beta)
        first = rows.where(context=0, unseen=1)
        count = len(first.where(action=first["action"][0]))  # of data sets
        masses = [np.exp(first["log_reference"] + first[name]).sum() / count for name in ("predicted", "log_ratio")]
        claim = f"{name}, beta = {beta:g}: mass on the unseen actions"
        why = "gradient over curvature, and the rounding of every step"
        checks.append(identity(claim, *masses, rtol=float(rows["allowed"].max()), why=why))
    return checks


def _stationarity_checks(rows: Table) -> list[Check]:
    worst = (rows["residual"] / rows["allowed_residual"]).max()
    claim = "HyPO, every beta and lambda: residual of (3) in units of what its gradient and rounding allow"
    checks = [upper(claim, 1.0, worst)]
    for beta in np.unique(rows["beta"]):
        end = rows.where(beta=beta, penalty=rows["penalty"].max(), context=0)
        divergence = np.exp(end["log_reference"] + end["log_ratio"]) @ end["log_ratio"]
        gained = end.where(unseen=1)["log_ratio"]
        place = int(np.argmax(np.abs(gained - divergence)))
        name = f"HyPO, beta = {beta:g}, lambda = {end['penalty'][0]:g}"
        claim = f"{name}: log(pi_u/ref_u) = KL(pi||ref), the worse action"
        allowed, why = float(end["allowed_residual"][0]), "gradient over lambda rho pi(u), and rounding"
        checks.append(identity(claim, float(divergence), gained[place], atol=allowed, why=why))
    return checks


def _limit_checks(hypo: Table) -> list[Check]:
    """q(lambda) = [log pi - limit]/lambda = c + c' lambda + ..: from lambda and its double, extrapolated and not."""
    checks = []
    for beta in np.unique(hypo["beta"]):
        rows = hypo.where(beta=beta)
        smallest = np.sort(np.unique(rows["penalty"]))[:3]
        first = rows.where(penalty=smallest[0])
        place = int(np.argmax(np.abs(first["slope"])))
        where = {"context": int(first["context"][place]), "action": int(first["action"][place])}
        ends = [rows.where(penalty=value, **where) for value in smallest]
        errors = np.array([(end["log_ratio"] - end["predicted"])[0] for end in ends])
        near, double, _ = errors / smallest
        name = f"HyPO, beta = {beta:g}, lambda = {smallest[0]:g}"
        why = "what doubling lambda changes: the first neglected order, before the extrapolation removes it"
        measured, predicted = 2 * near - double, float(first["slope"][place])
        claim = f"{name}: distance to the limit over lambda, extrapolated to lambda = 0"
        checks.append(interval(claim, predicted, measured, 0.0, allowance=abs(double - near), why=why))
        slopes = np.diff(np.log(np.abs(errors))) / np.diff(np.log(smallest))
        allowance, claim = 2 * abs(slopes[1] - slopes[0]), f"{name}: slope of the distance in lambda"
        why = "twice the change of the slope over the next doubling, which is its distance from 1 in first order"
        checks.append(interval(claim, 1.0, slopes[0], 0.0, allowance=allowance, why=why))
    return checks
