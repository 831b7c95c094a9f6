"""Labels that all go one way: DPO collapses without stop, RLHF stops, HyPO does either, by a computed penalty."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import banditlab as bl
from banditlab import one_sided
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.one_sided_data import laws
from experiments.partial_coverage.one_sided_data.checks import check
from experiments.partial_coverage.one_sided_data.figure import plot
from experiments.partial_coverage.one_sided_data.runs import (
    CRITICAL,
    CURVE,
    DPO,
    HYPO,
    LINE,
    RLHF,
    curves_of,
    penalties,
    train,
)

CLAIM = (
    "On one-sided labels DPO's log-ratios grow like log(t)/beta without end, its KL to pi_ref towards its maximum; a "
    "bounded reward holds RLHF; HyPO is held if beta >= 1 or lambda exceeds a computed value, and else escapes too."
)


@dataclass(frozen=True)
class Config:
    """Training runs (method, actions, beta, lambda, bound on |r|), and the grid of lambda for the critical values.

    Betas nearer to 1 are left out of the grid: HyPO's path then turns at D = 10 or more, which the steps do not reach.
    A step size below 1/2 keeps eta |f'| below 1/2 for every setting.
    """

    curves: tuple[tuple[str, int, float, float, float], ...] = (
        (DPO, 2, 0.5, 0.0, 0.0),
        (HYPO, 2, 0.5, 0.60, 0.0),
        (HYPO, 2, 0.5, 0.66, 0.0),
        (HYPO, 2, 1.0, 0.20, 0.0),
        (HYPO, 2, 1.5, 0.10, 0.0),
        (DPO, 5, 0.5, 0.0, 0.0),
        (HYPO, 5, 0.5, 0.20, 0.0),
        (HYPO, 5, 0.5, 0.24, 0.0),
        (RLHF, 2, 0.5, 0.0, 1.0),
    )
    betas: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)
    ratio: float = 1.03
    num_steps: int = 30_000
    step_size: float = 0.5
    num_records: int = 46


def run(config: Config, shards: Shards) -> Table:
    """Rows of training curves, of brackets of the critical penalty, and of its computed line over beta."""
    actions = sorted({curve[1] for curve in config.curves})
    shards.expect(len(actions))
    rows: list[dict[str, Any]] = []
    failures = {"runs not finite": 0, "curves short of a stationary point": 0}
    for num_actions in actions:
        data = shards.get(f"actions={num_actions}", (0, 1), partial(train, config, num_actions))
        for place, curve in enumerate(curves_of(config, num_actions)):
            rows += _curve_rows(
                config, curve, {name: data[name][place] for name in ("gap", "kl", "end")}, data["steps"]
            )
        failures["curves short of a stationary point"] += int((data["end"] == bl.Status.max_steps).sum())
        statuses = np.concatenate([data["end"], data["grid"].ravel()])
        failures["runs not finite"] += int((statuses == bl.Status.nonfinite).sum())
        rows += _critical_rows(config, num_actions, data["grid"])
        for beta in np.linspace(0.05, 0.99, 48):
            critical = one_sided.critical_penalty(beta, -math.log(num_actions - 1))
            rows.append(_row(kind=LINE, actions=num_actions, beta=float(beta), predicted=critical))
    return Table.from_rows(rows, meta={"failures": failures})


def _curve_rows(config: Config, curve, measured: dict[str, np.ndarray], steps: np.ndarray) -> list[dict[str, Any]]:
    method, num_actions, beta, penalty, bound = curve
    numbers = (num_actions, beta, penalty, 2 * bound)
    gaps = laws.gaps(config.step_size * steps, *numbers)
    allowances = laws.euler_remainder(gaps, config.step_size, *numbers)
    stop = 2 * bound / beta  # the policy pi_ref e^{r/beta} of the reward at its bound
    if method != RLHF:
        stop = one_sided.stationary_gap(penalty, beta, -math.log(num_actions - 1))
    shared = {"kind": CURVE, "method": method, "actions": num_actions, "beta": beta, "penalty": penalty}
    shared |= {"failed": int(measured["end"] == bl.Status.nonfinite)}
    shared |= {"bound": bound, "end": int(measured["end"]), "predicted": stop, "name": _name(curve)}
    columns = {"step": steps, "gap": measured["gap"], "kl": measured["kl"], "flow": gaps, "allowance": allowances}
    columns |= {"flow_kl": laws.kl(gaps, num_actions)}
    return [_row(**shared, **{name: float(v[i]) for name, v in columns.items()}) for i in range(len(steps))]


def _critical_rows(config: Config, num_actions: int, grid: np.ndarray) -> list[dict[str, Any]]:
    """For every beta the largest lambda whose run did not stop, and the next one."""
    rows, tried = [], penalties(config)
    for beta, ends in zip(config.betas, grid, strict=True):
        stopped = ends == bl.Status.converged
        first = int(np.argmax(stopped))
        changes = int((stopped[1:] != stopped[:-1]).sum())
        row = {"kind": CRITICAL, "method": HYPO, "actions": num_actions, "beta": beta, "end": changes}
        row |= {"failed": int((ends == bl.Status.nonfinite).sum())}
        row |= {"low": float(tried[first - 1]), "high": float(tried[first])}
        rows.append(_row(**row, predicted=one_sided.critical_penalty(beta, -math.log(num_actions - 1))))
    return rows


def _name(curve) -> str:
    method, num_actions, beta, penalty, bound = curve
    tail = {DPO: "", HYPO: f", lambda={penalty:g}", RLHF: f", |r|<={bound:g}"}[method]
    return f"{method}, A={num_actions}, beta={beta:g}{tail}"


def _row(**given: Any) -> dict[str, Any]:
    texts = ("kind", "method", "name")
    curve = ("beta", "penalty", "bound", "step", "gap", "flow", "allowance", "kl", "flow_kl")
    empty = dict.fromkeys(texts, "") | dict.fromkeys(
        ("actions", "end", "failed", *curve, "low", "high", "predicted"), 0.0
    )
    return empty | {name: value if name in texts else float(value) for name, value in given.items()}


EXPERIMENT = Experiment(
    name="one_sided_data",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(curves=Config.curves[:3], betas=(0.3, 0.5), num_steps=10_000, num_records=20),
        "default": Config(),
        "paper": Config(ratio=1.01, num_steps=300_000),
    },
    run=run,
    check=check,
    plot=plot,
)
