"""Bands of a mean with its error, and curves beside their prediction."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics


def apart(x: np.ndarray, place: int, count: int, step: float) -> np.ndarray:
    """x moved sideways for the arm number `place` of `count`, so that arms which agree are seen beside each other.

    A point at zero stays. On a logarithmic axis move the logarithms.
    """
    return x + np.where(x == 0, 0.0, (place - (count - 1) / 2) * step)


def curve(ax, rows: Table, x: str, predicted: str, key: str, name: str = "kl", *, spread: str = "kl", **look) -> None:
    """Means of a column against another one, and the column that predicts them.

    Args:
      rows: with the columns x, predicted, name and name_se, and the quantiles of ``spread``.
      spread: the column whose 10 and 90% quantiles over runs are drawn as a band; "" for none.
      look: label and colour of `plotting.mean`.
    """
    quantiles = statistics.band(rows, spread) if spread else None
    plotting.mean(ax, rows[x], rows[name], rows[f"{name}_se"], key, quantiles=quantiles, **look)
    plotting.theory(ax, rows[x], rows[predicted], key, color=look.get("color"))
