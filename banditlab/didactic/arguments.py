"""The arguments of a training run, checked: every failure is a ValueError that names the argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from banditlab import law_checks, validation
from banditlab.didactic import losses
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings


def sizes(
    algorithm: str,
    num_steps: int,
    num_states: int,
    num_samples: int,
    seeds: int,
    reuse: int,
    refresh: int,
    dataset: int | None,
    minibatch: int | None,
    on_policy: bool,
) -> tuple[int, int, int, int]:
    """(B, N, minibatch, M or 0) as checked ints."""
    for name, value in (("num_steps", num_steps), ("seeds", seeds), ("reuse", reuse), ("refresh", refresh)):
        validation.steps(name, value)
    states = int(validation.whole("num_states", num_states))
    samples = int(validation.whole("num_samples", num_samples))
    validation.tables("num_states * num_samples", states * samples)
    validation.tables("seeds", seeds)
    least = losses.ALGORITHMS[algorithm].least_samples
    if samples < least:
        raise ValueError(f"num_samples must be at least {least} for algorithm {algorithm!r}; got {num_samples}")
    rows = int(validation.whole("minibatch", states if minibatch is None else minibatch))
    if rows > states:
        raise ValueError(f"minibatch must be at most num_states = {states}; got {minibatch}")
    if on_policy:
        if dataset is not None:
            raise ValueError(f"dataset must be None on-policy, where every batch is drawn; got {dataset}")
        return states, samples, rows, 0
    if refresh != 1:
        raise ValueError(f"refresh must be 1 offline, where the reference draws; got {refresh}")
    total = int(validation.whole("dataset", states if dataset is None else dataset))
    validation.tables("dataset", total * samples)
    if total < states:
        raise ValueError(f"dataset must be at least num_states = {states}; got {dataset}")
    return states, samples, rows, total


def steps(num_steps: int, record_every: int | None, record_at: Sequence[int] | None) -> np.ndarray:
    """(R,) increasing step counts that end with num_steps."""
    if record_at is None:
        every = int(validation.whole("record_every", max(num_steps // 20, 1) if record_every is None else record_every))
        return np.unique(np.append(np.arange(0, num_steps + 1, every), num_steps)).astype(np.int64)
    if record_every is not None:
        raise ValueError(f"record_every must be None where record_at is given; got {record_every}")
    steps = validation.array("record_at", record_at, ("num_records",))
    ordered = len(steps) > 0 and steps[0] >= 0 and (np.diff(steps) > 0).all() and (steps == np.floor(steps)).all()
    if not (ordered and steps[-1] == num_steps):
        raise ValueError(
            f"record_at must be increasing whole numbers that end with num_steps = {num_steps}; got {steps}"
        )
    return steps.astype(np.int64)


def grid(settings: Settings, problem: Problem) -> tuple[Settings, Problem]:
    """Both with a leading axis G, as NumPy arrays of the working precision."""
    precision = jnp.result_type(float)
    # NumPy arrays stand in for JAX's until the program takes them.
    table = Problem(*(cast(Any, np.atleast_2d(np.asarray(leaf, precision))) for leaf in problem))
    reward = validation.array("problem.reward", table.reward, ("num_settings", "num_actions"))
    validation.array(
        "problem.log_reference", table.log_reference, ("num_settings", reward.shape[1]), minus_infinity=True
    )
    law_checks.log_probs("problem.log_reference", table.log_reference)
    lengths = {np.shape(leaf)[0] for leaf in (*table, *(value for value in settings if np.ndim(value)))}
    size = max(lengths)
    if not lengths <= {1, size}:
        raise ValueError(
            f"settings and problem must be scalars or agree on the number of settings; got {sorted(lengths)}"
        )
    wide = Problem(*(cast(Any, np.broadcast_to(leaf, (size, leaf.shape[1]))) for leaf in table))
    return Settings(*(np.broadcast_to(np.asarray(value, precision), size) for value in settings)), wide


def check_threshold(threshold: np.ndarray, problem: Problem, label_mode: str) -> None:
    """ValueError if the threshold drops every pair of actions that the reference plays."""
    played = np.isfinite(problem.log_reference)
    best = np.where(played, problem.reward, -np.inf).max(axis=1)
    spread = best - np.where(played, problem.reward, np.inf).min(axis=1)
    empty = (threshold > spread) if label_mode == "bradley_terry" else (threshold >= spread)
    if empty.any():
        at = int(np.argmax(empty))
        raise ValueError(
            f"settings.threshold must be below the spread of the rewards, {spread[at]:.4g}, or every pair drops out; "
            f"got {threshold[at]:.4g}"
        )


def features(features: ArrayLike | None, num_actions: int, label_mode: str) -> np.ndarray:
    """(A, d) features of the reward model; (A, 0) where no mode reads them."""
    if label_mode != "reward_model":
        return np.zeros((num_actions, 0))
    if features is None:
        return np.eye(num_actions, dtype=jnp.result_type(float))
    return validation.array("reward_features", features, (num_actions, "num_features"))
