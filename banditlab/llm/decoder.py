"""The decoder: pre-norm blocks, their parameters stacked along a first axis, applied by one scan."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.llm import attention, rotary
from banditlab.llm.config import DecoderConfig

Params = dict[str, Any]


class Cache(NamedTuple):
    """Keys (after rotation) and values of all layers, (num_layers, B, N, G, K) each."""

    keys: Array
    values: Array


def init(key: Array, config: DecoderConfig) -> Params:
    """Random parameters: products keep the variance, and what writes to the residual stream shrinks with depth.

    Matrices are (in, out), heads apart: query (D, H, K), key and value (D, G, K), output (H, K, D). Blocks have a
    leading axis num_layers.
    """
    width, hidden, depth = config.width, config.hidden_width, config.num_layers
    heads, groups, head = config.num_heads, config.key_value_heads, config.head
    # Kernel: shape, spread, and the shape of its bias, if it has one.
    kernels = {
        "query": ((width, heads, head), width, config.attention_bias and (heads, head)),
        "key": ((width, groups, head), width, config.attention_bias and (groups, head)),
        "value": ((width, groups, head), width, config.attention_bias and (groups, head)),
        "output": ((heads, head, width), heads * head * 2 * depth, config.bias and (width,)),
        "up": ((width, hidden), width, config.bias and (hidden,)),
        "down": ((hidden, width), hidden * 2 * depth, config.bias and (width,)),
    }
    if config.gated:
        kernels["gate"] = kernels["up"]
    shapes = {name: (depth, *shape) for name, (shape, _, _) in kernels.items()}
    shapes["embedding"] = (config.vocabulary_size, width)
    if not config.tied:
        shapes["head"] = (width, config.vocabulary_size)
    drawn = _normals(key, shapes, config.params)

    blocks: Params = {"norm_attention": _norm_init(config, width), "norm_mlp": _norm_init(config, width)}
    if config.query_key_norm:
        blocks |= {name: {"scale": jnp.ones((depth, head), config.params)} for name in ("norm_query", "norm_key")}
    for name, (_, fan_in, bias) in kernels.items():
        blocks[name] = {"kernel": drawn.pop(name) * fan_in**-0.5}
        if bias:
            blocks[name]["bias"] = jnp.zeros((depth, *bias), config.params)
    final = jax.tree.map(lambda leaf: leaf[0], _norm_init(config, width))
    return {"blocks": blocks, "norm_final": final} | {name: leaf * width**-0.5 for name, leaf in drawn.items()}


def hidden_states(
    config: DecoderConfig,
    params: Params,
    tokens: Array,
    positions: Array,
    allowed: Array,
    cache: Cache | None = None,
    column: Array | int = 0,
) -> tuple[Array, Cache]:
    """The residual stream after the last norm, (B, T, D), and the keys and values seen.

    Args:
        tokens, positions: (B, T) int32.
        allowed: (B, T, N) bool, which columns a token sees; N = T without a cache.
        cache: of N columns, into which the T new ones are written from `column` on. None: a token sees these T only.
    """
    embedded = params["embedding"].astype(config.compute)[tokens]
    turn = rotary.angles(positions, config.rotary_width, config.rotary_base, config.accumulate)

    def layer(stream: Array, slices: tuple[Params, Cache | None]) -> tuple[Array, Cache]:
        return _block(config, *slices, stream, turn, allowed, column)

    stream, seen = jax.lax.scan(layer, embedded, (params["blocks"], cache))
    return _norm(config, params["norm_final"], stream), seen


def logits(config: DecoderConfig, params: Params, hidden: Array) -> Array:
    """(..., V) in float32 (float64 where the products are), for hidden states (..., D)."""
    head = params["embedding"].T if config.tied else params["head"]
    equation = "...d,dv->...v"
    return jnp.einsum(equation, hidden, head.astype(config.compute), preferred_element_type=config.accumulate)


def _block(
    config: DecoderConfig,
    params: Params,
    cache: Cache | None,
    stream: Array,
    turn: tuple[Array, Array],
    allowed: Array,
    column: Array | int,
) -> tuple[Array, Cache]:
    attended, seen = _attention(
        config, params, cache, _norm(config, params["norm_attention"], stream), turn, allowed, column
    )
    if config.parallel_blocks:
        return stream + attended + _mlp(config, params, _norm(config, params["norm_mlp"], stream)), seen
    stream = stream + attended
    return stream + _mlp(config, params, _norm(config, params["norm_mlp"], stream)), seen


def _attention(config, params, cache, inputs, turn, allowed, column) -> tuple[Array, Cache]:
    query, key, value = (_linear(params[n], inputs, "btd,dhk->bthk") for n in ("query", "key", "value"))
    if config.query_key_norm:
        query, key = _rms(config, params["norm_query"], query), _rms(config, params["norm_key"], key)
    query, key = rotary.rotate(query, *turn), rotary.rotate(key, *turn)
    if cache is not None:
        key = jax.lax.dynamic_update_slice_in_dim(cache.keys, key, column, axis=1)
        value = jax.lax.dynamic_update_slice_in_dim(cache.values, value, column, axis=1)
    mixed = attention.attend(query, key, value, allowed, config.accumulate)
    return _linear(params["output"], mixed, "bthk,hkd->btd"), Cache(key, value)


def _mlp(config: DecoderConfig, params: Params, inputs: Array) -> Array:
    activate = jax.nn.silu if config.activation == "silu" else lambda x: jax.nn.gelu(x, approximate=False)
    raised = _linear(params["up"], inputs, "btd,df->btf")
    gate = _linear(params["gate"], inputs, "btd,df->btf") if config.gated else raised
    return _linear(params["down"], activate(gate) * raised if config.gated else activate(gate), "btf,fd->btd")


def _linear(params: Params, inputs: Array, equation: str) -> Array:
    out = jnp.einsum(equation, inputs, params["kernel"].astype(inputs.dtype))
    return out + params["bias"].astype(inputs.dtype)[None, None] if "bias" in params else out


def _norm(config: DecoderConfig, params: Params, stream: Array) -> Array:
    if config.norm == "rms":
        return _rms(config, params, stream)
    wide = stream.astype(config.accumulate)
    wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
    return (_scaled(config, params, wide) + _vector(params["bias"], wide)).astype(stream.dtype)


def _rms(config: DecoderConfig, params: Params, stream: Array) -> Array:
    return _scaled(config, params, stream.astype(config.accumulate)).astype(stream.dtype)


def _scaled(config: DecoderConfig, params: Params, wide: Array) -> Array:
    power = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    return wide * jax.lax.rsqrt(power + config.norm_epsilon) * _vector(params["scale"], wide)


def _vector(vector: Array, like: Array) -> Array:
    """(D,) with the axes and the dtype of (..., D)."""
    return vector.astype(like.dtype).reshape((1,) * (like.ndim - 1) + vector.shape)


def _norm_init(config: DecoderConfig, width: int) -> Params:
    shape = (config.num_layers, width)
    scale = {"scale": jnp.ones(shape, config.params)}
    return scale | ({"bias": jnp.zeros(shape, config.params)} if config.norm == "layer" else {})


def _normals(key: Array, shapes: dict[str, tuple[int, ...]], dtype: jnp.dtype) -> dict[str, Array]:
    """Standard normal arrays cut from one draw: a generator per array would be most of a small run's compilation."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    flat = jax.random.normal(key, (int(ends[-1]),), dtype)
    starts = (0, *ends[:-1])
    pieces = zip(shapes.items(), starts, ends, strict=True)
    return {name: flat[int(start) : int(end)].reshape(shape) for (name, shape), start, end in pieces}
