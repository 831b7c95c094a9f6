"""The checks of `attainability`."""

import numpy as np

from banditlab.claims.checks import Check, identity, interval, lower, upper
from banditlab.store import Table
from experiments.partial_coverage.attainability.runs import ADAM, DPO, HYPO

# Actions of the first context that no label mentions.
_UNSEEN = (4, 5)


def check(table: Table) -> list[Check]:
    """Limits of DPO, Adam's distance from them, HyPO's stationarity, and its first order in lambda."""
    return [*_dpo_checks(table), *_stationarity_checks(table), *_limit_checks(table)]


def _dpo_checks(table: Table) -> list[Check]:
    checks = []
    for finite in (False, True):
        trained = table.where(optimizer=DPO)
        trained = rows_where(trained, (trained["dataset"] >= 0) == finite)
        name = f"DPO, {'finite' if finite else 'population'} labels"
        share = np.abs(trained["log_ratio"] - trained["predicted"]) / trained["allowed"]
        claim = f"{name}: largest distance to the limit, over what gradient and rounding allow"
        checks.append(upper(claim, 1.0, share.max()))
        for beta in np.unique(trained["beta"]):
            rows = trained.where(beta=beta)
            why = "gradient over curvature, and the rounding of every step"
            masses = [_unseen_mass(rows, column) for column in ("predicted", "log_ratio")]
            claim = f"{name}, beta = {beta:g}: mass on the unseen actions"
            checks.append(identity(claim, *masses, rtol=float(rows["allowed"].max()), why=why))
    rows = table.where(optimizer=ADAM)
    for beta in np.unique(rows["beta"]):
        end = rows.where(beta=beta)
        claim = f"Adam, beta = {beta:g}: distance to DPO's limit in log-probability, over what its gradient explains"
        distance = np.abs(end["log_ratio"] - end["predicted"]).max()
        checks.append(lower(claim, 1.0, distance / end["allowed"].max()))
    return checks


def _stationarity_checks(table: Table) -> list[Check]:
    rows = table.where(optimizer=HYPO)
    worst = (rows["residual"] / rows["allowed_residual"]).max()
    claim = "HyPO, every beta and lambda: residual of (3) in units of what its gradient and rounding allow"
    checks = [upper(claim, 1.0, worst)]
    for beta in np.unique(rows["beta"]):
        end = rows.where(beta=beta, penalty=rows["penalty"].max(), context=0)
        divergence = np.exp(end["log_reference"] + end["log_ratio"]) @ end["log_ratio"]
        gained = end.where(unseen=1)["log_ratio"]
        place = int(np.argmax(np.abs(gained - divergence)))
        claim = (
            f"HyPO, beta = {beta:g}, lambda = {end['penalty'][0]:g}: log(pi_u/ref_u) = KL(pi||ref), the worse action"
        )
        allowed, why = float(end["allowed_residual"][0]), "gradient over lambda rho pi(u), and rounding"
        checks.append(identity(claim, float(divergence), gained[place], atol=allowed, why=why))
    return checks


def _limit_checks(table: Table) -> list[Check]:
    """q(lambda) = [log pi - limit]/lambda = c + c' lambda + ..: from lambda and its double, extrapolated and not."""
    checks = []
    for beta in np.unique(table["beta"]):
        rows = table.where(optimizer=HYPO, beta=beta)
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
        allowance = 2 * abs(slopes[1] - slopes[0])
        why = "twice the change of the slope over the next doubling, which is its distance from 1 in first order"
        checks.append(
            interval(f"{name}: slope of the distance in lambda", 1.0, slopes[0], 0.0, allowance=allowance, why=why)
        )
    return checks


def _unseen_mass(rows: Table, column: str) -> float:
    """Mean over data sets of the mass on the unseen actions of the first context."""
    chosen = (rows["context"] == 0) & np.isin(rows["action"], _UNSEEN)
    mass = np.exp(rows["log_reference"] + rows[column])[chosen]
    return float(mass.sum() / len(np.unique(rows["dataset"])))


def rows_where(table: Table, kept: np.ndarray) -> Table:
    """The rows that a mask keeps."""
    return Table({name: values[kept] for name, values in table.columns.items()}, table.meta)
