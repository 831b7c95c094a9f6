"""Policies of the didactic bandits as pairs of pure functions; both start at (or next to) the reference."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.didactic.problem import Problem
from banditlab.door import door

__all__ = ["Params", "Policy", "mlp", "tabular"]

_NORM_EPSILON = 1e-5

Params = TypeVar("Params")
Layers: TypeAlias = list[dict[str, Array]]


@dataclass(frozen=True)
class Policy(Generic[Params]):
    """A parametrised policy.

    Attributes:
        name: "tabular" or "mlp", for captions.
        num_inputs: p, the size of a state; 0 for a policy that ignores it.
        dtype: of the parameters and of the training arithmetic.
        init: (key, problem) -> params.
        log_probs: (params, problem, states (B, p)) -> (B, A), normalised.
    """

    name: str
    num_inputs: int
    dtype: np.dtype
    init: Callable[[Array, Problem], Params]
    log_probs: Callable[[Params, Problem, Array], Array]


@door
@functools.lru_cache(maxsize=1)
def tabular() -> Policy[Array]:
    """Softmax of a table of logits (A,) that starts at log pi_ref; the same in every state, as the reward is.

    An action without reference mass has the logit -inf and keeps it.
    """
    return Policy("tabular", 0, jnp.result_type(float), _table, _of_table)


@door
@functools.lru_cache(maxsize=16)
def mlp(num_inputs: int = 100, num_features: int = 50, num_hidden: int = 256, *, gain: float = 0.01) -> Policy[Layers]:
    """Network p - 50 (LayerNorm, ReLU) - 256 - 256 - A in float32, Xavier-uniform weights of gain 0.01, zero biases.

    The logits are log pi_ref + network(s), so that training starts next to the reference. That is this project's
    reading: where the network alone makes the logits, it has to be fitted to the reference first.

    Raises:
        ValueError: for sizes below 1 or a gain that is not positive.
    """
    sizes = {"num_inputs": num_inputs, "num_features": num_features, "num_hidden": num_hidden}
    inputs, features, hidden = (int(validation.whole(name, size)) for name, size in sizes.items())
    validation.positive("gain", gain)

    start = functools.partial(_network, (inputs, features, hidden, hidden), gain)
    return Policy("mlp", inputs, jnp.dtype(jnp.float32), start, _of_network)


def _table(key: Array, problem: Problem) -> Array:
    del key
    return jnp.asarray(problem.log_reference, jnp.result_type(float))


def _of_table(params: Array, problem: Problem, states: Array) -> Array:
    del problem
    return jnp.broadcast_to(jax.nn.log_softmax(params), (states.shape[0], params.shape[0]))


def _network(sizes: tuple[int, ...], gain: float, key: Array, problem: Problem) -> Layers:
    """Layers of `sizes` and the actions: Xavier-uniform weights times `gain`, zero biases."""
    shapes = list(itertools.pairwise((*sizes, problem.reward.shape[0])))
    areas = [rows * columns for rows, columns in shapes]
    # One call for all the weights: every further one compiles its own generator.
    uniform = jax.random.uniform(key, (sum(areas),), jnp.float32, -gain, gain)
    parts = jnp.split(uniform, list(itertools.accumulate(areas))[:-1])
    layers = [_dense(part, *shape) for part, shape in zip(parts, shapes, strict=True)]
    norm = {"scale": jnp.ones(sizes[1], jnp.float32), "shift": jnp.zeros(sizes[1], jnp.float32)}
    return [layers[0] | norm, *layers[1:]]


def _of_network(params: Layers, problem: Problem, states: Array) -> Array:
    first, *middle, last = params
    signal = jax.nn.relu(_normalised(_affine(first, states), first))
    for layer in middle:
        signal = jax.nn.relu(_affine(layer, signal))
    offset = problem.log_reference.astype(jnp.float32)[None, :]
    return jax.nn.log_softmax(offset + _affine(last, signal), axis=-1)


def _dense(uniform: Array, fan_in: int, fan_out: int) -> dict[str, Array]:
    bound = jnp.float32((6.0 / (fan_in + fan_out)) ** 0.5)
    return {"weight": bound * uniform.reshape(fan_in, fan_out), "bias": jnp.zeros(fan_out, jnp.float32)}


def _affine(layer: dict[str, Array], signal: Array) -> Array:
    return signal @ layer["weight"] + layer["bias"][None, :]


def _normalised(signal: Array, layer: dict[str, Array]) -> Array:
    """LayerNorm over the features, the variance biased as usual."""
    centred = signal - jnp.mean(signal, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    scaled = centred * jax.lax.rsqrt(variance + jnp.float32(_NORM_EPSILON))
    return scaled * layer["scale"][None, :] + layer["shift"][None, :]


def __dir__() -> list[str]:
    return __all__
