"""Checks of a row of a table: a column that predicts another one, which has a standard error."""

import math

import numpy as np

from banditlab.claims import Check, Table, interval
from banditlab.exact import lattice


def at(
    claim: str, rows: Table, predicted: str, measured: str, place: int = 0, *, allowance: float = 0.0, why: str = ""
) -> Check:
    """`interval` of two columns in the row `place`; allowance and why as there."""
    numbers = (rows[name][place] for name in (predicted, measured, f"{measured}_se"))
    return interval(claim, *numbers, allowance=allowance, why=why)


def same_law(claim: str, distance: float, num_samples: int, told: str = "", *, false_alarm: float = 1e-4) -> Check:
    """1 - sup |F_N - F| of a sample against its exact law is 1, to the bound on that distance; told goes into why."""
    why = "; ".join(filter(None, [f"exceeded with probability {false_alarm:g} at most", told]))
    return interval(claim, 1.0, 1 - distance, 0.0, allowance=lattice.distance_bound(num_samples, false_alarm), why=why)


def quotient(name: str, upper: Table, lower: Table, *, other: str = "", place: int = 0) -> tuple[float, float]:
    """A column in a row of one table over it, or over another column, in one of the other; and its standard error."""
    cells = ((upper, name), (lower, other or name))
    value, divisor = (rows[column][place] for rows, column in cells)
    error = math.hypot(*(rows[f"{column}_se"][place] / rows[column][place] for rows, column in cells))
    return float(value / divisor), float(value / divisor * error)


def worst(rows: Table, predicted: str, measured: str, tolerance: np.ndarray | None = None) -> int:
    """The row with the largest difference over the tolerance (K,), one standard error unless given."""
    allowed = rows[f"{measured}_se"] if tolerance is None else tolerance
    return int(np.argmax(np.abs(rows[measured] - rows[predicted]) / allowed))
