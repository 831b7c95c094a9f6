"""Estimators: from a win matrix to parameters, with a status and a certificate of existence."""

from typing import TYPE_CHECKING

from banditlab.estimators.existence import Existence, proximity
from banditlab.estimators.margin_fit import Fit, Status, fit
from banditlab.lazy import attributes as _attributes

if TYPE_CHECKING:
    from banditlab.estimators import bounded as bounded
    from banditlab.estimators import chi_po as chi_po
    from banditlab.estimators import descent as descent
    from banditlab.estimators import pessimism as pessimism
    from banditlab.estimators import policy_gradients as policy_gradients
    from banditlab.estimators import regression as regression

__all__ = [
    "Existence",
    "Fit",
    "Status",
    "bounded",
    "chi_po",
    "descent",
    "fit",
    "pessimism",
    "policy_gradients",
    "proximity",
    "regression",
]

__getattr__, __dir__ = _attributes(
    __name__, __all__, shown=("bounded", "chi_po", "descent", "pessimism", "policy_gradients", "regression")
)
