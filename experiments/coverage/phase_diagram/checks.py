"""The checks of phase_diagram, on its table."""

import numpy as np

from banditlab.claims.checks import Check, interval, lower, upper
from banditlab.store import Table
from experiments.coverage.phase_diagram.runs import SUMMED


def check(table: Table) -> list[Check]:
    free = table.where(regulariser="none")
    promised = np.flatnonzero(free["guarantee"] > 0)
    ratio = free["success"][promised] / free["guarantee"][promised]
    worst = promised[int(np.argmin(ratio))]
    claim = f"share of successful runs over Proposition 4's guarantee, worst of {len(promised)} cells above it"
    error = float(free["success_se"][worst] / free["guarantee"][worst])
    checks = [lower(claim, 1.0, float(ratio.min()), error)]
    for regulariser in SUMMED:
        cells = table.where(instance="chain", regulariser=regulariser)
        known = np.isfinite(cells["exact_success"])
        seeds = float(cells["seeds"][0])
        for name in ("success", "absorbed"):
            exact, measured = cells[f"exact_{name}"][known], cells[name][known]
            spread = np.sqrt(exact * (1 - exact) / seeds)
            claim = f"chain, {regulariser}: {name}, mean of {known.sum()} cells, against the exact law"
            checks.append(interval(claim, exact.mean(), measured.mean(), np.hypot.reduce(spread) / known.sum()))
            # A cell whose exact probability is 0 or 1 has no spread: one stray run in it is 1/N, and an error.
            score = np.abs(measured - exact) / np.maximum(spread, 0.2 / seeds)
            claim = f"chain, {regulariser}: {name}, largest deviation from the exact law in standard errors"
            checks.append(upper(claim, 5.0, score.max(), why=f"5: false alarm {known.sum()} x 6e-7"))
    return checks
