"""Bands of a mean with its error, and curves beside their prediction."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics


def errors(rows: Table, name: str = "kl") -> np.ndarray:
    """(3, K) a column, and four standard errors on either side."""
    return np.stack([rows[name] + shift * rows[f"{name}_se"] for shift in (-4, 0, 4)])


def apart(x: np.ndarray, place: int, count: int, step: float) -> np.ndarray:
    """x moved sideways for the arm number `place` of `count`, so that arms which agree are seen beside each other.

    A point at zero stays. On a logarithmic axis move the logarithms.
    """
    return x + np.where(x == 0, 0.0, (place - (count - 1) / 2) * step)


def curve(ax, rows: Table, x: str, predicted: str, key: str, band: np.ndarray | None = None, **look) -> None:
    """A band (3, K), the quantiles of KL unless given, against a column, and the column that predicts it."""
    plotting.band(ax, rows[x], statistics.band(rows, "kl") if band is None else band, key, **look)
    plotting.theory(ax, rows[x], rows[predicted], key)
