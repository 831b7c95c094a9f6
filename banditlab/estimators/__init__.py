"""Estimators: from a win matrix to parameters, with a status and a certificate of existence."""

from banditlab.estimators.existence import Existence, proximity
from banditlab.estimators.margin_fit import Fit, Status, fit

__all__ = ["Existence", "Fit", "Status", "fit", "proximity"]


def __dir__() -> list[str]:
    return __all__
