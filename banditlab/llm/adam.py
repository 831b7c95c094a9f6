"""Adam as one step on any parameters, the learning rate a traced number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from banditlab.numerics import adam


def init(params: Any) -> adam.Moments:
    """The optimiser's state before the first step."""
    return adam.start(params)


def step(
    loss: Callable[[Any], Array], params: Any, state: adam.Moments, learning_rate: Array
) -> tuple[Any, adam.Moments, Array]:
    """(params, state, loss before the step)."""
    value, gradient = jax.value_and_grad(loss)(params)
    return *update(gradient, params, state, learning_rate), value


def update(gradient: Any, params: Any, state: adam.Moments, learning_rate: Array) -> tuple[Any, adam.Moments]:
    """(params, state) after a step along a gradient of the shape of `params`; parameters keep their dtypes."""
    directions, state = adam.direction(gradient, state)
    with jax.numpy_dtype_promotion("standard"):
        moved = jax.tree.map(lambda old, ahead: (old - learning_rate * ahead).astype(old.dtype), params, directions)
    return moved, state
