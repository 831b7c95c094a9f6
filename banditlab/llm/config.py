"""The shape of a decoder, checked at the door."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from banditlab import validation

_DTYPES = ("float32", "bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """A pre-norm decoder-only transformer; hashable, so it is a static argument of jit.

    The defaults are Llama's blocks. Qwen2 adds `attention_bias`, Qwen3 `query_key_norm`; Pythia (GPT-NeoX) is
    `norm="layer"`, `gated=False`, `activation="gelu"`, `parallel_blocks`, `attention_bias`, `bias` and
    `rotary_fraction=0.25`.

    Attributes:
        vocabulary_size, context_length, width, num_layers, num_heads: positive.
        num_key_value_heads: divides num_heads; fewer of them is grouped-query attention. None: num_heads.
        head_width: of one head. None: width / num_heads.
        hidden_width: of the MLP.
        norm: "rms" (scale) or "layer" (centred, scale and bias).
        norm_epsilon: positive.
        rotary_base: positive.
        rotary_fraction: share of head_width that is rotated, in (0, 1]; the rotated width must be even.
        gated: down(act(gate x) * up x), or down(act(up x)).
        activation: "silu" or "gelu" (the exact one).
        parallel_blocks: x + attention(norm x) + mlp(norm' x) instead of one after the other.
        attention_bias: bias of query, key and value.
        bias: bias of the attention's output and of the MLP.
        query_key_norm: RMS norm of each head's query and key before the rotation.
        tied: the head is the embedding, transposed.
        param_dtype: of the parameters.
        compute_dtype: of the matrix products. Norms, softmax and log-probabilities are at least float32.
    """

    vocabulary_size: int
    context_length: int
    width: int = 64
    num_layers: int = 2
    num_heads: int = 4
    num_key_value_heads: int | None = None
    head_width: int | None = None
    hidden_width: int = 128
    norm: str = "rms"
    norm_epsilon: float = 1e-6
    rotary_base: float = 10000.0
    rotary_fraction: float = 1.0
    gated: bool = True
    activation: str = "silu"
    parallel_blocks: bool = False
    attention_bias: bool = False
    bias: bool = False
    query_key_norm: bool = False
    tied: bool = True
    param_dtype: str = "float32"
    compute_dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = ("vocabulary_size", "context_length", "width", "num_layers", "num_heads", "hidden_width")
        for name in sizes:
            self._set(name, int(validation.whole(name, getattr(self, name))))
        if self.head_width is None and self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of num_heads = {self.num_heads} where head_width is not given; "
                f"got {self.width}"
            )
        defaults = {"num_key_value_heads": self.num_heads, "head_width": self.width // self.num_heads}
        for name, default in defaults.items():
            value = getattr(self, name)
            self._set(name, int(validation.whole(name, default if value is None else value)))
        if self.num_heads % self.key_value_heads:
            raise ValueError(
                f"num_key_value_heads must divide num_heads = {self.num_heads}; got {self.num_key_value_heads}"
            )
        validation.choice("norm", self.norm, ("rms", "layer"))
        validation.choice("activation", self.activation, ("silu", "gelu"))
        validation.choice("param_dtype", self.param_dtype, _DTYPES)
        validation.choice("compute_dtype", self.compute_dtype, _DTYPES)
        for name in ("norm_epsilon", "rotary_base", "rotary_fraction"):
            self._set(name, validation.positive(name, getattr(self, name)))
        if self.rotary_fraction > 1 or self.rotary_width % 2 or self.rotary_width == 0:
            raise ValueError(
                "rotary_fraction must be at most 1 and leave an even rotated width of at least 2; "
                f"got {self.rotary_fraction} of head_width {self.head_width}"
            )
        if "float64" in (self.param_dtype, self.compute_dtype) and jnp.result_type(float) != jnp.float64:
            raise ValueError("param_dtype and compute_dtype must not be 'float64' with BANDITLAB_PRECISION=float32")

    @property
    def key_value_heads(self) -> int:
        assert self.num_key_value_heads is not None
        return self.num_key_value_heads

    @property
    def head(self) -> int:
        """Width of one head."""
        assert self.head_width is not None
        return self.head_width

    @property
    def rotary_width(self) -> int:
        return int(self.head * self.rotary_fraction)

    @property
    def params(self) -> jnp.dtype:
        return jnp.dtype(self.param_dtype)

    @property
    def compute(self) -> jnp.dtype:
        return jnp.dtype(self.compute_dtype)

    @property
    def accumulate(self) -> jnp.dtype:
        """dtype of norms, softmax and log-probabilities: float32, or float64 where the products are."""
        return jnp.dtype(jnp.float64 if self.compute_dtype == "float64" else jnp.float32)

    def check_length(self, prompt_length: int, response_length: int) -> None:
        """ValueError if a prompt and its response do not fit the context."""
        if prompt_length + response_length > self.context_length:
            raise ValueError(
                f"prompt and response must fit context_length = {self.context_length}; "
                f"got {prompt_length} + {response_length} tokens"
            )

    def _set(self, name: str, value: float | str) -> None:
        object.__setattr__(self, name, value)
