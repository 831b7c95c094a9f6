"""Refusals of what is no probability law, as those of `validation`."""

from __future__ import annotations

from typing import Any

import numpy as np

from banditlab.validation import at, finite, first, non_negative

__all__ = ["law", "log_masses", "log_probs", "logits", "partial_law", "positive_log_probs"]

# Probabilities typed by hand or stored as float32 sum to one only this well; they are renormalised after the check.
_SUM_TOLERANCE = 1e-6


def log_masses(name: str, values: Any) -> None:
    """Refuse nan, inf and what is no logarithm of a probability, up to rounding."""
    values = np.asarray(values)
    if not (fine := values <= _SUM_TOLERANCE).all():
        got = f"{values[~fine].flat[0]}{at(~fine)}"
        raise ValueError(f"{name} must hold logarithms of probabilities; got {got}")


def logits(name: str, values: Any) -> None:
    """Refuse what is not finite, or lies further apart than the largest number."""
    finite(name, values)
    with np.errstate(over="ignore"):
        spread = np.ptp(values) if np.size(values) else 0.0
    if not np.isfinite(spread):
        raise ValueError(f"{name} must have finite differences; got {np.min(values)} and {np.max(values)}")


def law(name: str, values: Any) -> None:
    """Refuse what is no probability law over all its cells."""
    non_negative(name, values)
    if not abs((total := float(np.sum(values))) - 1) <= _rounding(values):
        raise ValueError(f"{name} must sum to 1; got a sum of {total}")


def partial_law(name: str, values: Any) -> None:
    """Refuse what is no law of total mass at most one."""
    non_negative(name, values)
    if (total := float(np.sum(values))) > 1 + _rounding(values):
        raise ValueError(f"{name} must have total mass at most 1; got {total}")


def log_probs(name: str, values: Any) -> None:
    """Refuse what is no table (..., A) of log-probabilities, -inf for none."""
    with np.errstate(over="ignore", invalid="ignore"):
        totals = np.exp(np.asarray(values, np.float64)).sum(axis=-1)
    off = ~(np.abs(totals - 1) <= _rounding(values))
    if off.any():
        raise ValueError(
            f"{name} must hold log-probabilities that sum to 1 in every context; "
            f"got a sum of {totals[off].flat[0]} in context {first(off)[0] if off.ndim else 0}"
        )


def positive_log_probs(name: str, values: Any) -> None:
    """Refuse what is no table (..., A) of log-probabilities, all of them finite."""
    finite(name, values)
    log_probs(name, values)


def _rounding(values: Any) -> float:
    """What a sum of probabilities may be off by: typed by hand, or summed in the precision of the values."""
    values = np.asarray(values)
    eps = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    return max(_SUM_TOLERANCE, float(eps) * values.size)


def __dir__() -> list[str]:
    return __all__
