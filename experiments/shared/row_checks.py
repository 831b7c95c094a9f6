"""Checks of a row of a table: a column that predicts another one, which has a standard error."""

import numpy as np

from banditlab.claims import Check, Table, interval


def at(
    claim: str, rows: Table, predicted: str, measured: str, place: int = 0, *, allowance: float = 0.0, why: str = ""
) -> Check:
    """`interval` of two columns in the row `place`; allowance and why as there."""
    numbers = (rows[name][place] for name in (predicted, measured, f"{measured}_se"))
    return interval(claim, *numbers, allowance=allowance, why=why)


def worst(rows: Table, predicted: str, measured: str, tolerance: np.ndarray | None = None) -> int:
    """The row with the largest difference over the tolerance (K,), one standard error unless given."""
    allowed = rows[f"{measured}_se"] if tolerance is None else tolerance
    return int(np.argmax(np.abs(rows[measured] - rows[predicted]) / allowed))
