"""The checks of `one_sided_data`."""

import math

import numpy as np

from banditlab.claims import Check, Table, interval, upper
from banditlab.exact import one_sided_flow
from experiments.partial_coverage.one_sided_data.runs import DPO

# Where descent has forgotten that its first steps were long.
_SETTLED = 100


def check(tables: dict[str, Table]) -> list[Check]:
    """Every curve against its flow, in the worst place; growth without end; plateaus; the critical lambdas."""
    settled, checks = tables["curves"].kept(tables["curves"]["step"] >= _SETTLED), []
    for run in _rows(tables["runs"]):
        checks += _curve_checks(run, settled.where(name=run["name"]))
    for row in _rows(tables["critical"]):
        claim = f"critical lambda, A={row['actions']:g}, beta={row['beta']:g}: between the largest that escapes and "
        claim += "the smallest that stops"
        middle, half = (row["escapes"] + row["stops"]) / 2, (row["stops"] - row["escapes"]) / 2
        why = "half the distance between the two penalties tried"
        checks.append(interval(claim, row["predicted"], middle, 0.0, allowance=half, why=why))
    claim = "penalties tried, in order: changes between escaping and stopping, beyond the one predicted, most over beta"
    return [*checks, upper(claim, 0.0, tables["critical"]["changes"].max() - 1)]


def _curve_checks(run: dict, rows: Table) -> list[Check]:
    name, step, gap, flow, allowed = run["name"], *(rows[key] for key in ("step", "gap", "flow", "allowance"))
    worst = int(np.argmax(np.abs(gap - flow) / allowed))
    why = "half a step of Euler's method per e-fold of the speed, doubled"
    claim = f"{name}: log-ratio gap after {step[worst]:.0f} steps (the worst of {len(rows)}) = gradient flow's"
    checks = [interval(claim, flow[worst], gap[worst], 0.0, allowance=allowed[worst], why=why)]
    if np.isfinite(run["predicted"]):
        why = "a stopped run's gradient, at most 1e-8, over its slope, doubled for the curvature; and rounding"
        claim, allowance = f"{name}: gap where training stops", _stopping_error(run)
        checks.append(interval(claim, run["predicted"], gap[-1], 0.0, allowance=allowance, why=why))
        return [*checks, upper(f"{name}: status at the end is converged", 0.0, run["end"])]
    decade = int(np.argmin(np.abs(step - step[-1] / 10)))
    factor = f"{step[-1] / step[decade]:.3g}"
    allowance, why = allowed[-1] + allowed[decade], "Euler's remainder at both ends"
    gained = flow[-1] - flow[decade]
    claim = f"{name}: gap gained in the last factor {factor} of steps = gradient flow's"
    if run["method"] == DPO:
        asymptote = math.log(step[-1] / step[decade]) / run["beta"]
        allowance, gained = allowance + abs(gained - asymptote), asymptote
        why += ", and the flow's own distance from its asymptote"
        claim = f"{name}: gap gained in the last factor {factor} of steps = log({factor})/beta"
    checks.append(interval(claim, gained, gap[-1] - gap[decade], 0.0, allowance=allowance, why=why))
    cap, claim = math.log(run["actions"]), f"{name}: KL to pi_ref at the end = its maximum log A"
    why = "what the flow leaves of it, twice"
    return [*checks, interval(claim, cap, rows["kl"][-1], 0.0, allowance=2 * (cap - rows["flow_kl"][-1]), why=why)]


def _stopping_error(run: dict) -> float:
    """How far from its stationary gap a run may be whose gradient in the logits has norm 1e-8.

    dD/dt = sqrt(A/(A-1)) times that norm, along the symmetric direction.
    """
    stop, actions = run["predicted"], run["actions"]
    numbers = (round(actions), run["beta"], run["penalty"], 2 * run["bound"])
    ends = one_sided_flow.speed(stop + np.array([-1e-4, 1e-4]), *numbers)
    slope = abs(ends[1] - ends[0]) / 2e-4
    return float(2 * math.sqrt(actions / (actions - 1)) * 1e-8 / slope + 1e-12 * stop)


def _rows(table: Table) -> list[dict]:
    """The rows as mappings."""
    columns = (values.tolist() for values in table.columns.values())
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]
