"""Validation at the door: every failure is a ValueError that names the argument, what was wanted and what came."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

# Probabilities typed by hand or stored as float32 sum to one only this well; they are renormalised after the check.
_SUM_TOLERANCE = 1e-6


def array(name: str, value: Any, shape: tuple[int | str, ...], *, minus_infinity: bool = False) -> np.ndarray:
    """`value` as float64 of the wanted shape (strings in `shape` name free sizes), finite unless -inf is allowed."""
    try:
        out = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers; got {type(value).__name__}") from error
    matches = out.ndim == len(shape) and all(
        isinstance(w, str) or w == g for w, g in zip(shape, out.shape, strict=True)
    )
    if not matches:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must be ({wanted}); got {out.shape}")
    allowed = np.isfinite(out) | (np.isneginf(out) if minus_infinity else False)
    if not allowed.all():
        wanted = "finite or -inf" if minus_infinity else "finite"
        raise ValueError(f"{name} must be {wanted}; got {out[~allowed].flat[0]} at index {_first(~allowed)}")
    return out


def shape(name: str, value: Any, wanted: tuple[int, ...]) -> None:
    """Check the shape alone, which a traced value has too."""
    if np.shape(value) != wanted:
        raise ValueError(f"{name} must be {wanted}; got {np.shape(value)}")


def index(name: str, value: Any) -> int:
    """`value` as a whole number that fits 32 bits."""
    number = _number(name, value)
    if not (0 <= number < 2**32 and number == math.floor(number)):
        raise ValueError(f"{name} must be a whole number from 0 to 2^32 - 1; got {value}")
    return int(number)


def positive(name: str, value: Any, *, zero: bool = False, infinite: bool = False) -> float:
    """`value` as a positive float (zero or inf only where allowed)."""
    number = _number(name, value)
    low_enough = number >= 0 if zero else number > 0
    if not (low_enough and (infinite or math.isfinite(number))):
        wanted = ("non-negative" if zero else "positive") + ("" if infinite else " and finite")
        raise ValueError(f"{name} must be {wanted}; got {value}")
    return number


def whole(name: str, value: Any, *, infinite: bool = False) -> float:
    """`value` as a whole number >= 1 (inf where allowed)."""
    number = _number(name, value)
    if not (number >= 1 and (number == math.floor(number) if math.isfinite(number) else infinite)):
        raise ValueError(f"{name} must be a whole number of at least 1{' or inf' if infinite else ''}; got {value}")
    return number


def count(name: str, value: float) -> float:
    """`value`, refused where the precision in use cannot count that far without rounding."""
    precision = jnp.result_type(float)
    limit = 2.0 ** (jnp.finfo(precision).nmant + 1)
    if math.isfinite(value) and value > limit:
        raise ValueError(
            f"{name} must be at most 2^{int(math.log2(limit))} to be counted exactly in {precision}; got {value}"
        )
    return value


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """`value`, one of `options`."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}")
    return value


def is_concrete(tree: Any) -> bool:
    """Whether no leaf of `tree` is traced, so that values can be looked at."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def pair_law(name: str, value: ArrayLike, shape: tuple[int, int, int]) -> None:
    """Check a concrete law over (context, action, action): shape, sign and total mass at most one."""
    law = array(name, value, shape)
    if (law < 0).any():
        raise ValueError(f"{name} must be non-negative; got {law.min()} at index {_first(law < 0)}")
    if not law.sum() <= 1 + _SUM_TOLERANCE:
        raise ValueError(f"{name} must have total mass at most 1; got {law.sum()}")


def environment_arrays(
    features: Any,
    target_params: Any,
    reward: Any,
    log_reference: Any,
    log_base: Any,
    context_probs: Any,
    beta: Any,
    initial_params: Any,
    context_inputs: Any,
) -> dict[str, Any]:
    """Check the arguments of `Environment.create`; returns its fields as NumPy arrays, but for the basis."""
    phi = array("features", features, ("num_contexts", "num_actions", "num_features"))
    num_contexts, num_actions, num_features = phi.shape
    if 0 in phi.shape:
        raise ValueError(f"features must have at least one context, action and feature; got {phi.shape}")
    if (target_params is None) == (reward is None):
        raise ValueError(
            f"exactly one of target_params and reward must be given; got {'neither' if reward is None else 'both'}"
        )
    table = (num_contexts, num_actions)
    reference = (
        np.full(table, -math.log(num_actions))
        if log_reference is None
        else _log_probs("log_reference", log_reference, table)
    )
    base = reference if log_base is None else array("log_base", log_base, table, minus_infinity=True)
    if log_reference is not None and np.array_equal(
        base, array("log_reference", log_reference, table, minus_infinity=True)
    ):
        base = reference  # the same table, which is normalised as one
    if (stuck := ~np.isfinite(base).any(axis=1)).any():
        raise ValueError(f"log_base must leave an action in every context; got none in context {_first(stuck)[0]}")
    uniform = np.full(num_contexts, 1 / num_contexts)
    return {
        "features": phi,
        "target_params": None if target_params is None else array("target_params", target_params, (num_features,)),
        "given_reward": None if reward is None else array("reward", reward, table),
        "log_reference": reference,
        "log_base": base,
        "context_probs": uniform if context_probs is None else _probs("context_probs", context_probs, (num_contexts,)),
        "beta": np.float64(positive("beta", beta)),
        "initial_params": None if initial_params is None else array("initial_params", initial_params, (num_features,)),
        "context_inputs": None
        if context_inputs is None
        else array("context_inputs", context_inputs, (num_contexts, "num_inputs")),
    }


def _probs(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    probs = array(name, value, shape)
    if (probs < 0).any():
        raise ValueError(f"{name} must be non-negative; got {probs.min()}")
    if abs(probs.sum() - 1) > _SUM_TOLERANCE:
        raise ValueError(f"{name} must sum to 1; got a sum of {probs.sum()}")
    return probs / probs.sum()


def _log_probs(name: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
    logs = array(name, value, shape, minus_infinity=True)
    with np.errstate(over="ignore"):  # an infinite sum is reported below
        totals = np.exp(logs).sum(axis=1)
    if (off := np.abs(totals - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            f"{name} must hold log-probabilities that sum to 1 in every context; "
            f"got a sum of {totals[off][0]} in context {_first(off)[0]}"
        )
    return logs - np.log(totals)[:, None]


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number; got {value!r}") from error


def _first(mask: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])
