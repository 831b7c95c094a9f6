"""The checks of offline_lower_bound, on its tables."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, interval, lower, upper
from experiments.coverage.offline_lower_bound.runs import ESTIMATORS, MARGIN_ROUNDING


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The bound under each estimator where it comes nearest; the constants at large N; no failures."""
    checks = []
    bayes = tables["bayes_risk"]
    for instance in dict.fromkeys(bayes["instance"].tolist()):
        for name in ESTIMATORS:
            rows = bayes.where(instance=instance, estimator=name)
            ratio, error = rows["risk"] / rows["bound"], rows["risk_se"] / rows["bound"]
            nearest = int(np.argmin(ratio))
            where = f"N = {rows['num_pairs'][nearest]:.0f}, the nearest of {len(rows)}"
            claim = f"Bayes risk over Proposition 5's bound, {instance}, {name}, {where}"
            checks.append(lower(claim, 1.0, ratio[nearest], error[nearest]))
    scaled, risk = tables["scaled_risk"], "||theta_hat - theta*||^2"
    shifted = f"E N{risk} = C_F(pi_0) + width^2 g'M^-1 V* M^-1 g/g'M^-1 g, pessimistic"
    checks += _constants(scaled.where(estimator="mle"), "scaled_risk", f"E N{risk} = C_F(pi_0), mle")
    checks += _constants(scaled.where(estimator="pessimistic"), "scaled_risk", shifted)
    checks += _constants(tables["chi_po_bias"], "bias", f"E {risk} = its bias, chi_po", 1e-8)
    words = f"E N{risk} / tr(V* H^-1) = 1 for theta* from the prior, mle"
    checks += _constants(tables["price_ratio"], "ratio", words)
    claim = f"chi-PO policies whose margins differ from the likelihood's by more than {MARGIN_ROUNDING:g}"
    checks.append(upper(claim, 0.0, tables["margins"]["margins_off"].max()))
    failed = max(table["failed"].max() for part, table in tables.items() if part != "margins")
    return [*checks, upper("fits or projections that did not converge", 0.0, failed)]


def _constants(table: Table, column: str, words: str, rounding: float = 0.0) -> list[Check]:
    """A mean at large N against its limit, on every instance.

    At N = 1e14 the next order in 1/N is below rounding. chi-PO's bias is compared at the precision of two solvers,
    1e-8 of it, beside the noise of the fit.
    """
    why = "rounding of Newton's method and of SciPy's root" if rounding else ""
    columns = zip(
        *(table[name] for name in ("instance", "num_pairs", "predicted", column, f"{column}_se")), strict=True
    )
    return [
        interval(f"{words}, {instance}, N = {n:.0e}", expected, mean, error, allowance=rounding * expected, why=why)
        for instance, n, expected, mean, error in columns
    ]
