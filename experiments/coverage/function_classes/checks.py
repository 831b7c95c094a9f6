"""The checks of function_classes, on its table."""

import math

import numpy as np

from banditlab.claims.checks import Check, interval, upper
from banditlab.store import Table
from experiments.coverage.function_classes import runs
from experiments.coverage.function_classes.runs import ALONE, NOISELESS, RATE, WHOLE


def check(table: Table) -> list[Check]:
    """Every law at its middle, every bound at its worst, every constant of the rate."""
    checks = _noiseless_checks(table.where(part=NOISELESS))
    alone, whole, rate = (table.where(part=part) for part in (ALONE, WHOLE, RATE))
    for rows in (alone.where(labels=n) for n in alone["labels"][alone["predicted"] > 0.2]):
        claim = f"least squares over two functions: mean number of errors, n = {rows['labels'][0]:.0f}"
        checks.append(interval(claim, rows["predicted"][0], rows["value"][0], rows["value_se"][0]))
    slack = whole["value"] - whole["bound"] - 4 * whole["value_se"]
    claim = "least squares over the whole class: P(error) less its exact union bound and 4 se, largest"
    checks.append(upper(claim, 0.0, slack.max(), why="the standard errors are in it"))
    worst = int(np.argmax(whole["exceed"]))
    claim = "P(sum (Delta_fhat - Delta*)^2 > 8 tau^2 log(|F|/delta)) <= delta, worst n"
    checks.append(upper(claim, runs.DELTA, whole["exceed"][worst], whole["exceed_se"][worst]))
    claim = f"the same against the exact union bound, n = {whole['labels'][worst]:.0f}"
    checks.append(upper(claim, whole["exceed_predicted"][worst], whole["exceed"][worst], whole["exceed_se"][worst]))
    why = "2 G(mu)/n of the constant: the remainder is G(mu)/n to first order"
    for arm, n, predicted, value, error, allowance in zip(
        *(rate[name] for name in ("arm", "labels", "predicted", "value", "value_se", "allowance")), strict=True
    ):
        claim = f"n E Var(f_hat - f*) = tau^2 tr(V* M^-1), {arm}, n = {n:.0e}"
        checks.append(interval(claim, predicted, value, error, allowance=allowance, why=why))
    return checks


def _noiseless_checks(rows: Table) -> list[Check]:
    checks = []
    for arm in runs.ARMS:
        found = rows.where(arm=arm)
        for k in _middle(found["predicted"]):
            claim = f"P(a wrong function survives), {arm}, n = {found['labels'][k]:.0f}"
            checks.append(interval(claim, found["predicted"][k], found["value"][k], found["value_se"][k]))
    off = rows.where(arm="off-policy")
    for arm in list(runs.ARMS)[1:]:
        on = rows.where(arm=arm)
        predicted = off["predicted"] - on["predicted"]
        k = int(np.argmax(np.abs(predicted)))
        error = math.hypot(off["value_se"][k], on["value_se"][k])
        claim = f"failure off-policy less {arm}, equal labels, n = {on['labels'][k]:.0f}"
        checks.append(interval(claim, predicted[k], off["value"][k] - on["value"][k], error))
    claim = "exact failure probability over sum_f (1-p_f)^n, largest"
    checks.append(upper(claim, 1.0, (off["predicted"] / off["bound"]).max(), allowance=1e-12, why="rounding"))
    claim = "sum_f (1-p_f)^n over |F| (1-p0)^n, largest"
    checks.append(upper(claim, 1.0, (off["bound"] / off["crude"]).max(), allowance=1e-12, why="rounding"))
    worst = int(np.argmax((off["value"] - off["bound"]) / off["value_se"]))
    claim = f"measured failure against sum_f (1-p_f)^n, worst n = {off['labels'][worst]:.0f}"
    checks.append(upper(claim, off["bound"][worst], off["value"][worst], off["value_se"][worst]))
    worst = int(np.argmax(off["exceed"]))
    claim = f"P(a survivor has P(|Delta_f - Delta*| > 0) > log(|F|/delta)/n), worst n = {off['labels'][worst]:.0f}"
    checks.append(upper(f"{claim}, <= delta", runs.DELTA, off["exceed"][worst], off["exceed_se"][worst]))
    worst = int(np.argmax(off["exceed_predicted"]))
    claim = f"the same against its exact law, where that is largest, n = {off['labels'][worst]:.0f}"
    return [*checks, interval(claim, off["exceed_predicted"][worst], off["exceed"][worst], off["exceed_se"][worst])]


def _middle(law: np.ndarray) -> list[int]:
    """Where the law is nearest to 2/3 and to 1/3, among values large enough for the seeds to tell 5%."""
    usable = np.where(law >= 0.29, law, np.inf)
    return sorted({int(np.argmin(np.abs(usable - level))) for level in (2 / 3, 1 / 3)})
