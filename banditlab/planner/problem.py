"""A problem whose reward is unknown, and the comparisons that were made in it; checked at the door."""

from __future__ import annotations

import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import preferences, validation
from banditlab.door import door
from banditlab.environment import Environment


@door
def problem(
    features: ArrayLike,
    *,
    log_reference: ArrayLike | None = None,
    context_probs: ArrayLike | None = None,
    beta: float = 1.0,
) -> Environment:
    """An environment of the linear softmax class whose reward is unknown (its `target_params` are zeros).

    Args:
        features: (S, A, d), finite. They need not be identified: everything is computed on their differences.
        log_reference: (S, A) log pi_ref up to a constant per context, as a language model gives for a list of
            candidates; -inf for an action that a context does not have. Uniform by default.
        context_probs: (S,) how often each context matters, uniform by default.
        beta: positive.

    Raises:
        ValueError: naming the argument, what was wanted and what came.
    """
    phi = validation.array("features", features, ("num_contexts", "num_actions", "num_features"))
    if log_reference is not None:
        logs = validation.array("log_reference", log_reference, phi.shape[:2], minus_infinity=True)
        log_reference = _normalised(logs)
    env = Environment.create(
        phi,
        target_params=np.zeros(phi.shape[-1]),
        log_reference=log_reference,
        context_probs=context_probs,
        beta=beta,
        unidentified="allow",
    )
    if env.rank == 0:
        raise ValueError("features must differ between two actions of a context; got none that do")
    return env


@door
def comparisons(env: Environment, context: ArrayLike, chosen: ArrayLike, rejected: ArrayLike) -> Array:
    """Win matrix (S, A, A) of index arrays (n,), each row two different actions that the reference supports.

    Raises:
        ValueError: naming the argument, and the first row that is wrong.
    """
    wins = preferences.wins_from_comparisons(context, chosen, rejected, shape=(env.num_contexts, env.num_actions))
    context, chosen, rejected = np.asarray(context), np.asarray(chosen), np.asarray(rejected)
    if context.size == 0:
        raise ValueError("context must hold at least one comparison; got none")
    if (same := chosen == rejected).any():
        row = int(same.argmax())
        raise ValueError(f"rejected must differ from chosen; got action {chosen[row]} twice in row {row}")
    supported = np.isfinite(np.asarray(env.log_reference))
    for name, actions in (("chosen", chosen), ("rejected", rejected)):
        if (outside := ~supported[context, actions]).any():
            row = int(outside.argmax())
            where = f"action {actions[row]} of context {context[row]} in row {row}"
            raise ValueError(f"{name} must be an action with log_reference > -inf; got {where}")
    return wins


def _normalised(logs: np.ndarray) -> np.ndarray:
    highest = logs.max(axis=1)
    if (empty := np.isneginf(highest)).any():
        raise ValueError(f"log_reference must leave an action in every context; got none in context {empty.argmax()}")
    logs = logs - highest[:, None]
    return logs - np.log(np.exp(logs).sum(axis=1))[:, None]
