"""Policies of the didactic bandits as pairs of pure functions; all start at (or next to) the reference."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.didactic import network
from banditlab.didactic.problem import Problem
from banditlab.door import door
from banditlab.numerics import streams

__all__ = ["Params", "Policy", "mlp", "tabular"]

Params = TypeVar("Params")
Start = Literal["offset", "fitted"]


@dataclass(frozen=True)
class Policy(Generic[Params]):
    """A parametrised policy.

    Attributes:
        name: "tabular", "mlp" or "fitted mlp", for captions.
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
def mlp(
    num_inputs: int = 100,
    num_features: int = 50,
    num_hidden: int = 256,
    *,
    gain: float = 0.01,
    start: Start = "offset",
) -> Policy[network.Layers]:
    """Network p - 50 (LayerNorm, ReLU) - 256 - 256 - A in float32, Xavier-uniform weights, zero biases.

    There are two readings of a network that starts at the reference, and they do not end at the same rewards
    (`neural_headline` draws both).

    Args:
        num_inputs, num_features, num_hidden: sizes of the layers.
        gain: of the weights.
        start: "offset": the logits are log pi_ref + network(s), next to the reference at once. "fitted": the network
            alone makes the logits, and is first fitted to the reference, by 100 steps of Adam at rate 0.01 on
            KL(pi || pi_ref) in 10 new states each, as public code of the didactic experiments (after 2404.14367) does
            in its training states. The KL left is recorded before the first step, as `kl_reference`.

    Raises:
        ValueError: for sizes below 1, a gain that is not positive or another start.
    """
    sizes = {"num_inputs": num_inputs, "num_features": num_features, "num_hidden": num_hidden}
    inputs, features, hidden = (int(validation.whole(name, size)) for name, size in sizes.items())
    validation.positive("gain", gain)
    layers = (inputs, features, hidden, hidden)
    if validation.choice("start", start, ("offset", "fitted")) == "offset":
        begin, of = functools.partial(_next_to_reference, layers, gain), _offset_by_network
        return Policy("mlp", inputs, jnp.dtype(jnp.float32), begin, of)
    begin = functools.partial(_fitted_to_reference, layers, gain)
    return Policy("fitted mlp", inputs, jnp.dtype(jnp.float32), begin, _of_network)


def _table(key: Array, problem: Problem) -> Array:
    del key
    return jnp.asarray(problem.log_reference, jnp.result_type(float))


def _of_table(params: Array, problem: Problem, states: Array) -> Array:
    del problem
    return jnp.broadcast_to(jax.nn.log_softmax(params), (states.shape[0], params.shape[0]))


def _next_to_reference(sizes: tuple[int, ...], gain: float, key: Array, problem: Problem) -> network.Layers:
    return network.init(sizes, gain, key, problem.reward.shape[0])


def _offset_by_network(params: network.Layers, problem: Problem, states: Array) -> Array:
    offset = problem.log_reference.astype(jnp.float32)[None, :]
    return jax.nn.log_softmax(offset + network.apply(params, states), axis=-1)


def _fitted_to_reference(sizes: tuple[int, ...], gain: float, key: Array, problem: Problem) -> network.Layers:
    params = _next_to_reference(sizes, gain, key, problem)
    reference = problem.log_reference.astype(jnp.float32)
    key_states = jax.random.fold_in(key, streams.STATES)
    return network.fit(params, reference, key_states, sizes[0])


def _of_network(params: network.Layers, problem: Problem, states: Array) -> Array:
    return network.log_probs(params, problem.log_reference.astype(jnp.float32), states)


def __dir__() -> list[str]:
    return __all__
