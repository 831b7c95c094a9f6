"""Adam's direction on any parameters: optax's, imported on demand and kept from strict promotion."""

from __future__ import annotations

from typing import Any

import jax

Moments = Any  # optax's state: a count and two trees like the parameters


def start(params: Any) -> Moments:
    """The moments before the first step."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python floats and integer counts
        return _scale().init(params)


def direction(gradient: Any, moments: Moments) -> tuple[Any, Moments]:
    """(direction of ascent, of which a step goes minus the learning rate; moments after it)."""
    with jax.numpy_dtype_promotion("standard"):
        return _scale().update(gradient, moments)


def _scale() -> Any:
    import optax  # importing it takes longer than the rest of the library

    return optax.scale_by_adam()
