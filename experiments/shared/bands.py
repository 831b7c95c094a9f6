"""What `plotting.band` draws, from the columns of a table: quantiles over seeds, or a mean with its error."""

import numpy as np

from banditlab.claims import Table, statistics


def quantiles(rows: Table, name: str = "kl") -> np.ndarray:
    """(3, K) the 10%, 50% and 90% quantiles of a column over seeds."""
    return np.stack([rows[f"{name}_{level}"] for level in statistics.BAND])


def errors(rows: Table, name: str = "kl") -> np.ndarray:
    """(3, K) a column, and four standard errors on either side."""
    return np.stack([rows[name] + shift * rows[f"{name}_se"] for shift in (-4, 0, 4)])
