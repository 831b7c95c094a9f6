"""Random keys that note every use: Threefry's numbers, with a callback beside every draw and split."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.extend import random as extended

_NUMBERS = extended.threefry_prng_impl


class Use(NamedTuple):
    """What was done, "draw", "split" or "fold", with which key data."""

    what: str
    data: tuple[int, ...]


_uses: list[Use] = []


@contextlib.contextmanager
def recording() -> Iterator[list[Use]]:
    """The uses of keys of `key` inside, in no order; complete once results are there and `jax.effects_barrier` is."""
    _uses.clear()
    yield _uses
    jax.effects_barrier()


def key(seed: int) -> Array:
    """`jax.random.key(seed)` whose uses are noted; a run with it draws the same numbers."""
    return jax.random.wrap_key_data(
        jax.random.key_data(jax.random.key(seed, impl="threefry2x32")), impl=_IMPLEMENTATION
    )


def _noting(what: str, function: Callable[..., Array]) -> Callable[..., Array]:
    def noted(key: Array, *options: object) -> Array:
        jax.debug.callback(lambda data: _uses.append(Use(what, tuple(np.ravel(data).tolist()))), key)
        return function(key, *options)

    return noted


_IMPLEMENTATION = extended.define_prng_impl(
    key_shape=(2,),
    seed=_NUMBERS.seed,
    split=_noting("split", _NUMBERS.split),
    random_bits=_noting("draw", _NUMBERS.random_bits),
    fold_in=_noting("fold", _NUMBERS.fold_in),
    name="recorded",
    tag="rec",
)
