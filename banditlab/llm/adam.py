"""Adam as one step on any parameters, the learning rate a traced number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax
from jax import Array


def init(params: Any) -> optax.OptState:
    """The optimiser's state before the first step."""
    return optax.adam(0.0).init(params)


def step(
    loss: Callable[[Any], Array], params: Any, state: optax.OptState, learning_rate: Array
) -> tuple[Any, optax.OptState, Array]:
    """(params, state, loss before the step)."""
    value, gradient = jax.value_and_grad(loss)(params)
    return *update(gradient, params, state, learning_rate), value


def update(gradient: Any, params: Any, state: optax.OptState, learning_rate: Array) -> tuple[Any, optax.OptState]:
    """(params, state) after a step along a gradient of the shape of `params`."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes; what it returns has those of the parameters
        updates, state = optax.adam(learning_rate).update(gradient, state, params)
        return optax.apply_updates(params, updates), state
