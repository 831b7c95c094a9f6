"""The checks of phase_diagram, on its tables."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, interval, lower, upper


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Proposition 12's guarantee where it comes nearest; the chain's cells against their exact law."""
    checks = []
    cells = tables["guarantees"]
    if (cells["guarantee"] > 0).any():
        promised = cells.kept(cells["guarantee"] > 0)
        ratio, error = (promised[name] / promised["guarantee"] for name in ("success", "success_se"))
        worst = int(np.argmin(ratio))
        claim = f"share of successful runs over Proposition 12's guarantee, worst of {len(promised)} cells above it"
        checks.append(lower(claim, 1.0, ratio[worst], error[worst]))
    for regulariser in dict.fromkeys(tables["exact"]["regulariser"].tolist()):
        cells = tables["exact"].where(regulariser=regulariser)
        seeds, count = float(cells["seeds"][0]), len(cells)
        for name in ("success", "absorbed"):
            exact, measured = cells[f"exact_{name}"], cells[name]
            spread = np.sqrt(exact * (1 - exact) / seeds)
            claim = f"chain, {regulariser}: {name}, mean of {count} cells, against the exact law"
            checks.append(interval(claim, exact.mean(), measured.mean(), np.hypot.reduce(spread) / count))
            # A cell whose exact probability is 0 or 1 has no spread: one stray run in it is 1/N, and an error.
            score = np.abs(measured - exact) / np.maximum(spread, 0.2 / seeds)
            claim = f"chain, {regulariser}: {name}, largest deviation from the exact law in standard errors"
            checks.append(upper(claim, 5.0, score.max(), why=f"5: false alarm {count} x 6e-7"))
    return checks
