"""The network of the didactic bandits: its layers, its logits, and its fit to the reference."""

from __future__ import annotations

import itertools
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.numerics import adam

FIT_STEPS, FIT_STATES, FIT_RATE = 100, 10, 0.01
_NORM_EPSILON = 1e-5

Layers: TypeAlias = list[dict[str, Array]]


def init(sizes: tuple[int, ...], gain: float, key: Array, num_actions: int) -> Layers:
    """Layers of `sizes` and the actions: Xavier-uniform weights times `gain`, zero biases."""
    shapes = list(itertools.pairwise((*sizes, num_actions)))
    areas = [rows * columns for rows, columns in shapes]
    # One call for all the weights: every further one compiles its own generator.
    uniform = jax.random.uniform(key, (sum(areas),), jnp.float32, -gain, gain)
    parts = jnp.split(uniform, list(itertools.accumulate(areas))[:-1])
    layers = [_dense(part, *shape) for part, shape in zip(parts, shapes, strict=True)]
    norm = {"scale": jnp.ones(sizes[1], jnp.float32), "shift": jnp.zeros(sizes[1], jnp.float32)}
    return [layers[0] | norm, *layers[1:]]


def apply(params: Layers, states: Array) -> Array:
    """(B, A) logits of states (B, p)."""
    first, *middle, last = params
    signal = jax.nn.relu(_normalised(_affine(first, states), first))
    for layer in middle:
        signal = jax.nn.relu(_affine(layer, signal))
    return _affine(last, signal)


def log_probs(params: Layers, log_reference: Array, states: Array) -> Array:
    """(B, A) log-probabilities of the network's logits, on the actions that the reference (A,) plays."""
    logits = jnp.where(jnp.isfinite(log_reference)[None, :], apply(params, states), -jnp.inf)
    return jax.nn.log_softmax(logits, axis=-1)


def fit(params: Layers, log_reference: Array, key: Array, num_inputs: int) -> Layers:
    """The network after FIT_STEPS steps of Adam on the mean KL(pi || pi_ref) over FIT_STATES new states each."""

    def divergence(params: Layers, states: Array) -> Array:
        table = log_probs(params, log_reference, states)
        played = jnp.isfinite(table)
        ratio = jnp.where(played, table, 0.0) - jnp.where(played, log_reference[None, :], 0.0)
        return jnp.mean(jnp.sum(jnp.exp(table) * ratio, axis=-1))

    def step(number: Array, carry: tuple[Layers, adam.Moments]) -> tuple[Layers, adam.Moments]:
        params, moments = carry
        states = jax.random.uniform(jax.random.fold_in(key, number), (FIT_STATES, num_inputs), jnp.float32)
        gradient = jax.grad(divergence)(params, states)
        direction, moments = adam.direction(gradient, moments)
        return jax.tree.map(lambda p, d: p - jnp.float32(FIT_RATE) * d, params, direction), moments

    return jax.lax.fori_loop(0, FIT_STEPS, step, (params, adam.start(params)))[0]


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
