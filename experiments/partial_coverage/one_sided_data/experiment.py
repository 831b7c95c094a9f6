"""Labels that all go one way: DPO collapses without stop, RLHF stops, HyPO does either, by a computed penalty."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import banditlab as bl
from banditlab import one_sided
from banditlab.claims import Experiment, Shards, Table
from banditlab.exact import one_sided_flow
from experiments.partial_coverage.one_sided_data.checks import check
from experiments.partial_coverage.one_sided_data.figure import plot
from experiments.partial_coverage.one_sided_data.runs import DPO, HYPO, RLHF, curves_of, penalties, train

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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The training runs and their curves, the brackets of the critical penalty, and its computed line over beta."""
    actions = sorted({curve[1] for curve in config.curves})
    shards.expect(len(actions))
    rows, curves, critical, lines = [], [], [], []
    for num_actions in actions:
        data = shards.get(f"actions={num_actions}", (0, 1), partial(train, config, num_actions))
        measured = (data[name] for name in ("gap", "kl", "end"))
        for curve, gap, kl, end in zip(curves_of(config, num_actions), *measured, strict=True):
            rows.append(_run_row(config, curve, int(end)))
            curves.append(_curve(config, curve, {"step": data["steps"].astype(float), "gap": gap, "kl": kl}))
        critical += _critical_rows(config, num_actions, data["grid"])
        for beta in np.linspace(0.05, 0.99, 48):
            value = one_sided.critical_penalty(beta, -math.log(num_actions - 1))
            lines.append({"actions": float(num_actions), "beta": float(beta), "predicted": value})
    tables = {"runs": Table.from_rows(rows), "curves": Table.stack(curves)}
    return tables | {"critical": Table.from_rows(critical), "lines": Table.from_rows(lines)}


def _run_row(config: Config, curve, end: int) -> dict[str, str | float]:
    method, num_actions, beta, penalty, bound = curve
    stop = 2 * bound / beta  # the policy pi_ref e^{r/beta} of the reward at its bound
    if method != RLHF:
        stop = one_sided.stationary_gap(penalty, beta, -math.log(num_actions - 1))
    row = {"name": _name(curve), "method": method, "actions": float(num_actions), "beta": beta, "penalty": penalty}
    row |= {"bound": bound, "step_size": config.step_size, "end": float(end)}
    return row | {"failed": float(end == bl.Status.nonfinite), "predicted": stop}


def _curve(config: Config, curve, measured: dict[str, Any]) -> Table:
    _, num_actions, beta, penalty, bound = curve
    numbers = (num_actions, beta, penalty, 2 * bound)
    gaps = one_sided_flow.gaps(config.step_size * measured["step"], *numbers)
    allowances = one_sided_flow.euler_remainder(gaps, config.step_size, *numbers)
    columns: dict[str, Any] = {"name": _name(curve), **measured, "flow": gaps, "allowance": allowances}
    columns["flow_kl"] = one_sided_flow.kl(gaps, num_actions)
    return Table(columns)


def _critical_rows(config: Config, num_actions: int, grid: np.ndarray) -> list[dict[str, float]]:
    """For every beta the largest lambda whose run did not stop, and the next one."""
    rows, tried = [], penalties(config)
    for beta, ends in zip(config.betas, grid, strict=True):
        stopped = ends == bl.Status.converged
        first = int(np.argmax(stopped))
        row = {"actions": float(num_actions), "beta": beta, "changes": float((stopped[1:] != stopped[:-1]).sum())}
        row |= {"failed": float((ends == bl.Status.nonfinite).sum())}
        row |= {"escapes": float(tried[first - 1]), "stops": float(tried[first])}
        rows.append(row | {"predicted": one_sided.critical_penalty(beta, -math.log(num_actions - 1))})
    return rows


def _name(curve) -> str:
    method, num_actions, beta, penalty, bound = curve
    tail = {DPO: "", HYPO: f", lambda={penalty:g}", RLHF: f", |r|<={bound:g}"}[method]
    return f"{method}, A={num_actions}, beta={beta:g}{tail}"


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(curves=Config.curves[:3], betas=(0.3, 0.5), num_steps=10_000, num_records=20),
        "default": Config(),
        "paper": Config(ratio=1.01, num_steps=300_000),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "name": "training run, by its method and numbers",
            "actions": "number of actions, one of which wins every label",
            "beta": "temperature of the training loss, for rlhf of its objective [reward]",
        },
        "runs": {
            "method": "dpo and hypo descend on the labels, rlhf on a bounded reward fitted to them",
            "penalty": "lambda, the weight of KL(pi||pi_ref) beside the labels' loss; 0 is none",
            "bound": "largest |r| of the fitted reward; 0 is training on the labels themselves [reward]",
            "step_size": "step size of plain gradient descent on the logits",
            "end": "status after the last step: 0 stopped at a stationary point, 1 went on, others failed",
            "failed": "1 if the run is not finite, else 0",
            "predicted": "gap at the stationary point where training stops; inf where there is none [nats]",
        },
        "curves": {
            "step": "gradient steps done [steps]",
            "gap": "log(pi/pi_ref) of the winner minus that of the other actions, measured [nats]",
            "kl": "KL(pi||pi_ref), measured [nats]",
            "flow": "gap of gradient flow after the same time, predicted [nats]",
            "allowance": "how far Euler steps of this size may be from the flow [nats]",
            "flow_kl": "KL(pi||pi_ref) at the gap of the flow, predicted [nats]",
        },
        "critical": {
            "changes": "changes between escaping and stopping along the penalties tried, in order",
            "failed": "runs of the grid that are not finite [runs]",
            "escapes": "largest lambda tried below the first that stops, whose run escapes",
            "stops": "smallest lambda tried whose run stops",
            "predicted": "critical lambda, below which HyPO escapes",
        },
        "lines": {"predicted": "critical lambda, below which HyPO escapes"},
    },
)
