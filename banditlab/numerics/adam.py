"""Adam's direction on any parameters, with optax's moments, imported on demand and kept from strict promotion."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Moments = Any  # optax's state: a count and two trees like the parameters

_DECAYS = (0.9, 0.999)
_EPSILON = 1e-8


def start(params: Any) -> Moments:
    """The moments before the first step."""
    import optax  # importing it takes longer than the rest of the library

    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python floats and integer counts
        return optax.scale_by_adam().init(params)


def direction(gradient: Any, moments: Moments) -> tuple[Any, Moments]:
    """(direction of ascent, of which a step goes minus the learning rate; moments after it).

    The numbers are those of `optax.scale_by_adam`, but for the bias correction, a product with the reciprocal. XLA
    turns optax's quotient m / (1 - b^t) into that product on one device, and into another quotient where a program
    spans several: results would depend on the number of devices.
    """
    import optax

    with jax.numpy_dtype_promotion("standard"):
        first = optax.tree.update_moment(gradient, moments.mu, _DECAYS[0], 1)
        second = optax.tree.update_moment_per_elem_norm(gradient, moments.nu, _DECAYS[1], 2)
        count = moments.count + 1

        def ahead(mean: Array, square: Array) -> Array:
            scales = (1 / (1 - decay**count).astype(mean.dtype) for decay in _DECAYS)
            return mean * next(scales) / (jnp.sqrt(square * next(scales)) + _EPSILON)

        return jax.tree.map(ahead, first, second), moments._replace(count=count, mu=first, nu=second)
