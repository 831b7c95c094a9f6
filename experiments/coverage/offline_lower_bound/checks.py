"""The checks of offline_lower_bound, on its table."""

import numpy as np

from banditlab.claims.checks import Check, interval, lower, upper
from banditlab.store import Table
from experiments.coverage.offline_lower_bound.runs import BAYES, CENTRE, ESTIMATORS, MARGIN_ROUNDING, PRIOR


def check(table: Table) -> list[Check]:
    """The bound under each estimator where it comes nearest; the constants at large N; no failures."""
    checks = []
    bayes = table.where(kind=BAYES)
    for instance in dict.fromkeys(bayes["instance"].tolist()):
        for name in ESTIMATORS:
            rows = bayes.where(instance=instance, estimator=name)
            ratio, error = rows["risk"] / rows["bound"], rows["risk_se"] / rows["bound"]
            nearest = int(np.argmin(ratio))
            where = f"N = {rows['num_pairs'][nearest]:.0f}, the nearest of {len(rows)}"
            claim = f"Bayes risk over Proposition 5's bound, {instance}, {name}, {where}"
            checks.append(lower(claim, 1.0, ratio[nearest], error[nearest]))
    checks += _constants(table)
    claim = f"chi-PO policies whose margins differ from the likelihood's by more than {MARGIN_ROUNDING:g}"
    checks.append(upper(claim, 0.0, table["margins_off"].max()))
    return [*checks, upper("fits or projections that did not converge", 0.0, table["failed"].max())]


def _constants(table: Table) -> list[Check]:
    """N times the risk at large N against its limit; chi-PO's bias; the likelihood's price all over the prior.

    At N = 1e14 the next order in 1/N is below rounding. chi-PO's bias is compared at the precision of two solvers,
    1e-8 of it, beside the noise of the fit.
    """
    risk = "||theta_hat - theta*||^2"
    cases = (
        (CENTRE, "mle", f"E N{risk} = C_F(pi_0)", 0.0),
        (CENTRE, "pessimistic", f"E N{risk} = C_F(pi_0) + width^2 g'M^-1 V* M^-1 g/g'M^-1 g", 0.0),
        (CENTRE, "chi_po", f"E {risk} = its bias", 1e-8),
        (PRIOR, "mle", f"E N{risk} / tr(V* H^-1) = 1 for theta* from the prior", 0.0),
    )
    checks = []
    for kind, name, words, rounding in cases:
        for instance in dict.fromkeys(table.where(kind=kind)["instance"].tolist()):
            row = table.where(kind=kind, estimator=name, instance=instance)
            predicted, measured, error = (float(row[column][0]) for column in ("predicted", "risk", "risk_se"))
            claim = f"{words}, {instance}, {name}, N = {row['num_pairs'][0]:.0e}"
            why = "rounding of Newton's method and of SciPy's root" if rounding else ""
            checks.append(interval(claim, predicted, measured, error, allowance=rounding * predicted, why=why))
    return checks
