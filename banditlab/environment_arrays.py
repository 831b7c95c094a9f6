"""The arrays of an environment: arguments held against each other, and their file."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from banditlab import law_checks, validation
from banditlab.numerics import span
from banditlab.store import archives
from banditlab.store.files import write_atomically

# Features may be rounded by so much of their differences, at most: squares then are by twice that, half of what nearly
# collinear ones may be.
_BLUR = 1e-3


def checked(
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
    phi = validation.array("features", features, ("num_contexts", "num_actions", "num_features"))
    num_contexts, num_actions, num_features = phi.shape
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
    base = reference if log_base is None else validation.array("log_base", log_base, table, minus_infinity=True)
    if log_reference is not None and np.array_equal(
        base, validation.array("log_reference", log_reference, table, minus_infinity=True)
    ):
        base = reference  # the same table, which is normalised as one
    if (stuck := ~np.isfinite(base).any(axis=1)).any():
        raise ValueError(f"log_base must leave an action in every context; got none in context {int(stuck.argmax())}")
    uniform = np.full(num_contexts, 1 / num_contexts)
    temperature = np.float64(validation.positive("beta", beta))
    if reward is not None:
        with np.errstate(over="ignore"):
            tilts = validation.array("reward", reward, table) / temperature
            spans = _spans(tilts)
        if not np.isfinite(spans).all():
            raise ValueError(f"reward / beta must be finite numbers; got a span beyond {np.finfo(float).max:.3g}")
    validation.squarable("beta", temperature)
    both = np.isfinite(reference) & np.isfinite(base)
    with np.errstate(over="ignore"):
        shifts = temperature * (np.where(both, reference, 0.0) - np.where(both, base, 0.0))
    if not np.isfinite(shifts).all():
        raise ValueError(f"beta must keep beta (log_reference - log_base) a finite number; got {beta}")
    params = {
        name: None if value is None else validation.array(name, value, (num_features,))
        for name, value in (("target_params", target_params), ("initial_params", initial_params))
    }
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(_spans(phi)).all():
            raise ValueError("features must have finite differences within a context; got some that overflow")
        for name, value in params.items():
            if value is not None and not np.isfinite(temperature * _spans(phi @ value)).all():
                raise ValueError(f"{name} must keep beta phi {name} finite; got beta = {beta} and an overflow")
    return params | {
        "features": phi,
        "given_reward": None if reward is None else validation.array("reward", reward, table),
        "log_reference": reference,
        "log_base": base,
        "context_probs": uniform if context_probs is None else _probs("context_probs", context_probs, (num_contexts,)),
        "beta": temperature,
        "context_inputs": None
        if context_inputs is None
        else validation.array("context_inputs", context_inputs, (num_contexts, "num_inputs")),
    }


def spanning(given: dict[str, Any], unidentified: str, dtype: np.dtype) -> np.ndarray:
    """The basis (d, rank) of the differences of the class, refused where numbers of `dtype` do not tell them apart.

    `given` is what `checked` returns; `unidentified` as in `Environment.create`.
    """
    if unidentified not in ("raise", "allow"):
        raise ValueError(f"unidentified must be 'raise' or 'allow'; got {unidentified!r}")
    phi, possible = given["features"], given["context_probs"][:, None] > 0
    played, allowed = (possible & np.isfinite(given[name]) for name in ("log_reference", "log_base"))
    found = span.basis(phi, allowed)
    rank = found.shape[1] if np.array_equal(played, allowed) else span.basis(phi, played).shape[1]
    if rank < phi.shape[-1] and unidentified == "raise":
        raise ValueError(
            "features must be identified: within-context differences on the support of the reference must "
            f"span all {phi.shape[-1]} dimensions; they span {rank} (pass unidentified='allow' for tabular classes)"
        )
    _check_sizes(phi, allowed, dtype)
    if lost := span.unresolved(phi, allowed, found, float(np.finfo(dtype).eps)):
        raise ValueError(
            f"features must not be nearly collinear: squares of {dtype} numbers lose {lost} of the {found.shape[1]} "
            "directions of their within-context differences; leave out or combine features that are nearly multiples "
            "or sums of others"
        )
    return found


def _check_sizes(phi: np.ndarray, allowed: np.ndarray, dtype: np.dtype) -> None:
    """Refuse features whose differences numbers of `dtype` round away, or cannot square."""
    inside = allowed[:, :, None]
    highest, lowest = np.where(inside, phi, -np.inf).max(axis=1), np.where(inside, phi, np.inf).min(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.where(allowed.any(axis=1, keepdims=True), highest - lowest, 0.0).max(axis=0)
    limits = np.finfo(dtype)
    low, high = float(limits.tiny) ** 0.5 / float(limits.eps), (float(limits.max) / phi.size) ** 0.5
    beyond = (largest != 0) & ((largest < low) | ~(largest <= high))
    if np.any(beyond):
        raise ValueError(
            f"features must differ by {low:.2g} to {high:.2g} within contexts, so that squares of {dtype} numbers hold "
            f"them; got {largest[beyond][0]:.3g}"
        )
    rounded = float(limits.eps) * np.abs(np.where(inside, phi, 0.0)).max(axis=(0, 1))
    blurred = (largest > 0) & (rounded > _BLUR * largest)
    if np.any(blurred):
        raise ValueError(
            f"features must not share an offset that rounds their differences away in {dtype}; got differences of "
            f"{largest[blurred][0]:.3g} at {np.abs(phi[..., blurred]).max():.3g}: take the offset off"
        )


def _spans(values: np.ndarray) -> np.ndarray:
    """What values (S, A, ...) span within every context; nan or inf where they overflow."""
    return values.max(axis=1) - values.min(axis=1)


def write(path: Path, values: Mapping[str, Any]) -> None:
    """The arrays among `values` as an npz, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in values.items() if v is not None})
    write_atomically(path, buffer.getvalue())


def read(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The arrays that `write` wrote, at most those called `names`; ValueError for another file."""
    try:
        given = archives.read(path)
    except ValueError as error:
        raise ValueError(f"path must be a file of Environment.save; '{path}' {error}") from error
    if unlike := {"features"} - set(given) | set(given) - set(names):
        raise ValueError(f"path must be a file of Environment.save; '{path}' differs in {', '.join(sorted(unlike))}")
    return dict(given)


def _probs(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    probs = validation.array(name, value, shape)
    law_checks.law(name, probs)
    return probs / probs.sum()


def _log_probs(name: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
    logs = validation.array(name, value, shape, minus_infinity=True)
    law_checks.log_probs(name, logs)
    return logs - np.log(np.exp(logs).sum(axis=1))[:, None]
