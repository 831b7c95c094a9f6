"""The checks of function_classes, on its tables."""

import math

import numpy as np

from banditlab.claims import Check, Table, interval, upper
from experiments.coverage.function_classes.runs import ARMS, DELTA


def check(tables: dict[str, Table]) -> list[Check]:
    """Every law at its middle, every bound at its worst, every constant of the rate."""
    checks = _law_checks(tables["version_spaces"])
    checks += _bound_checks(tables["version_spaces"].where(arm="off-policy"), tables["bounds"])
    whole = tables["least_squares"]
    for row in (whole.where(labels=n) for n in whole["labels"][whole["errors_exact"] > 0.2]):
        claim = f"least squares over two functions: mean number of errors, n = {row['labels'][0]:.0f}"
        checks.append(interval(claim, *(row[name][0] for name in ("errors_exact", "errors", "errors_se"))))
    slack = whole["failure"] - whole["errors_exact"] - 4 * whole["failure_se"]
    claim = "least squares over the whole class: P(error) less its exact union bound and 4 se, largest"
    checks.append(upper(claim, 0.0, slack.max(), why="the standard errors are in it"))
    worst = int(np.argmax(whole["exceed"]))
    exceed = whole["exceed"][worst], whole["exceed_se"][worst]
    claim = "P(sum (Delta_fhat - Delta*)^2 > 8 tau^2 log(|F|/delta)) <= delta, worst n"
    checks.append(upper(claim, DELTA, *exceed))
    claim = f"the same against the exact union bound, n = {whole['labels'][worst]:.0f}"
    checks.append(upper(claim, whole["exceed_exact"][worst], *exceed))
    why = "2 G(mu)/n of the constant: the remainder is G(mu)/n to first order"
    names = ("arm", "num_pairs", "constant", "scaled_error", "scaled_error_se", "allowance")
    for arm, n, constant, error, noise, allowance in zip(*(tables["rate"][name] for name in names), strict=True):
        claim = f"n E Var(f_hat - f*) = tau^2 tr(V* M^-1), {arm}, n = {n:.0e}"
        checks.append(interval(claim, constant, error, noise, allowance=allowance, why=why))
    return checks


def _law_checks(rows: Table) -> list[Check]:
    checks = []
    for arm in ARMS:
        found = rows.where(arm=arm)
        for k in _middle(found["failure_exact"]):
            claim = f"P(a wrong function survives), {arm}, n = {found['labels'][k]:.0f}"
            checks.append(interval(claim, *(found[name][k] for name in ("failure_exact", "failure", "failure_se"))))
    off = rows.where(arm="off-policy")
    for arm in list(ARMS)[1:]:
        on = rows.where(arm=arm)
        predicted = off["failure_exact"] - on["failure_exact"]
        k = int(np.argmax(np.abs(predicted)))
        error = math.hypot(off["failure_se"][k], on["failure_se"][k])
        claim = f"failure off-policy less {arm}, equal labels, n = {on['labels'][k]:.0f}"
        checks.append(interval(claim, predicted[k], off["failure"][k] - on["failure"][k], error))
    return checks


def _bound_checks(off: Table, bounds: Table) -> list[Check]:
    """Rows of both in the order of the labels."""
    union, labels = bounds["union_bound"], bounds["labels"]
    claim = "exact failure probability over sum_f (1-p_f)^n, largest"
    checks = [upper(claim, 1.0, (off["failure_exact"] / union).max(), allowance=1e-12, why="rounding")]
    claim = "sum_f (1-p_f)^n over |F| (1-p0)^n, largest"
    checks.append(upper(claim, 1.0, (union / bounds["crude_bound"]).max(), allowance=1e-12, why="rounding"))
    worst = int(np.argmax((off["failure"] - union) / off["failure_se"]))
    claim = f"measured failure against sum_f (1-p_f)^n, worst n = {labels[worst]:.0f}"
    checks.append(upper(claim, union[worst], off["failure"][worst], off["failure_se"][worst]))
    exact, measured, error = (bounds[name] for name in ("exceed_exact", "exceed", "exceed_se"))
    worst = int(np.argmax(measured))
    claim = f"P(a survivor has P(|Delta_f - Delta*| > 0) > log(|F|/delta)/n), worst n = {labels[worst]:.0f}"
    checks.append(upper(f"{claim}, <= delta", DELTA, measured[worst], error[worst]))
    worst = int(np.argmax(exact))
    claim = f"the same against its exact law, where that is largest, n = {labels[worst]:.0f}"
    return [*checks, interval(claim, exact[worst], measured[worst], error[worst])]


def _middle(law: np.ndarray) -> list[int]:
    """Where the law is nearest to 2/3 and to 1/3, among values large enough for the seeds to tell 5%."""
    usable = np.where(law >= 0.29, law, np.inf)
    return sorted({int(np.argmin(np.abs(usable - level))) for level in (2 / 3, 1 / 3)})
