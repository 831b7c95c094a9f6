"""Summaries over seeds, each with its standard error, so that tables can be compared across machines."""

import math
from collections.abc import Mapping

import numpy as np

from banditlab.store import Table

BAND = {"low": 0.1, "median": 0.5, "high": 0.9}


def mean(name: str, values: np.ndarray) -> dict[str, float]:
    """Columns ``name`` and ``name_se`` of values (num_seeds,); equal values have no error, not one of rounding."""
    equal = len(values) > 1 and bool((values == values[0]).all())
    error = 0.0 if equal else float(values.std(ddof=1) / math.sqrt(len(values)))
    return {name: float(values.mean()), f"{name}_se": error}


def quantiles(name: str, values: np.ndarray, levels: Mapping[str, float] = BAND) -> dict[str, float]:
    """Columns ``name_level`` and ``name_level_se`` of values (num_seeds,), for every level.

    The error of a quantile is a sixth of the distance between the order statistics three binomial standard
    deviations away on either side.
    """
    ordered = np.sort(values)
    columns = {}
    for level, share in levels.items():
        spread = 3 * math.sqrt(len(ordered) * share * (1 - share))
        centre = share * (len(ordered) - 1)
        lower, upper = max(0, math.floor(centre - spread)), min(len(ordered) - 1, math.ceil(centre + spread))
        columns[f"{name}_{level}"] = float(np.quantile(ordered, share))
        columns[f"{name}_{level}_se"] = float(ordered[upper] - ordered[lower]) / 6
    return columns


def band(rows: Table, name: str) -> np.ndarray:
    """(3, K) the columns that `quantiles` made of ``name``, in a table of K rows: what `plotting.band` draws."""
    return np.stack([rows[f"{name}_{level}"] for level in BAND])
