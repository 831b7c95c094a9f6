"""The checks of `one_sided_data`."""

import math

import numpy as np

from banditlab.claims.checks import Check, interval, upper
from banditlab.store import Table
from experiments.partial_coverage.one_sided_data import laws
from experiments.partial_coverage.one_sided_data.runs import CRITICAL, CURVE, DPO

# Where descent has forgotten that its first steps were long.
_SETTLED = 100


def check(table: Table) -> list[Check]:
    """Every curve against its flow, in the worst place; growth without end; plateaus; the critical lambdas."""
    curves, checks = table.where(kind=CURVE), []
    for name in dict.fromkeys(curves["name"].tolist()):
        rows = curves.where(name=name)
        checks += _curve_checks(name, Table({k: v[rows["step"] >= _SETTLED] for k, v in rows.columns.items()}))
    brackets = table.where(kind=CRITICAL)
    for i in range(len(brackets)):
        low, high, predicted = (brackets[name][i] for name in ("low", "high", "predicted"))
        setting = f"A={brackets['actions'][i]:g}, beta={brackets['beta'][i]:g}"
        claim = f"critical lambda, {setting}: between the largest that escapes and the smallest that stops"
        why = "half the distance between the two penalties tried"
        checks.append(interval(claim, predicted, (low + high) / 2, 0.0, allowance=(high - low) / 2, why=why))
    claim = "penalties tried, in order: changes between escaping and stopping, beyond the one predicted, most over beta"
    return [*checks, upper(claim, 0.0, brackets["end"].max() - 1)]


def _curve_checks(name: str, rows: Table) -> list[Check]:
    distance = np.abs(rows["gap"] - rows["flow"]) / rows["allowance"]
    worst = int(np.argmax(distance))
    numbers = (rows["flow"][worst], rows["gap"][worst], 0.0)
    why = "half a step of Euler's method per e-fold of the speed, doubled"
    claim = f"{name}: log-ratio gap after {rows['step'][worst]:.0f} steps (the worst of {len(rows)}) = gradient flow's"
    checks = [interval(claim, *numbers, allowance=rows["allowance"][worst], why=why)]
    gap, stop = rows["gap"][-1], rows["predicted"][-1]
    if np.isfinite(stop):
        allowance = _stopping_error(stop, *(float(rows[name][-1]) for name in ("actions", "beta", "penalty", "bound")))
        why = "a stopped run's gradient, at most 1e-8, over its slope, doubled for the curvature; and rounding"
        checks.append(interval(f"{name}: gap where training stops", stop, gap, 0.0, allowance=allowance, why=why))
        return [*checks, upper(f"{name}: status at the end is converged", 0.0, rows["end"][-1])]
    decade = int(np.argmin(np.abs(rows["step"] - rows["step"][-1] / 10)))
    factor = f"{rows['step'][-1] / rows['step'][decade]:.3g}"
    allowance, why = rows["allowance"][-1] + rows["allowance"][decade], "Euler's remainder at both ends"
    gained = rows["flow"][-1] - rows["flow"][decade]
    claim = f"{name}: gap gained in the last factor {factor} of steps = gradient flow's"
    if rows["method"][0] == DPO:
        asymptote = math.log(rows["step"][-1] / rows["step"][decade]) / rows["beta"][-1]
        allowance, gained = allowance + abs(gained - asymptote), asymptote
        why += ", and the flow's own distance from its asymptote"
        claim = f"{name}: gap gained in the last factor {factor} of steps = log({factor})/beta"
    checks.append(interval(claim, gained, gap - rows["gap"][decade], 0.0, allowance=allowance, why=why))
    cap = math.log(rows["actions"][-1])
    claim = f"{name}: KL to pi_ref at the end = its maximum log A"
    why = "what the flow leaves of it, twice"
    return [*checks, interval(claim, cap, rows["kl"][-1], 0.0, allowance=2 * (cap - rows["flow_kl"][-1]), why=why)]


def _stopping_error(stop: float, num_actions: float, beta: float, penalty: float, bound: float) -> float:
    """How far from its stationary gap a run may be whose gradient in the logits has norm 1e-8.

    dD/dt = sqrt(A/(A-1)) times that norm, along the symmetric direction.
    """
    ends = laws.speed(stop + np.array([-1e-4, 1e-4]), round(num_actions), beta, penalty, 2 * bound)
    slope = abs(ends[1] - ends[0]) / 2e-4
    return float(2 * math.sqrt(num_actions / (num_actions - 1)) * 1e-8 / slope + 1e-12 * stop)
