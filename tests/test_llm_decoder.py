"""The decoder: an independent NumPy one, sampling against log-probabilities, and exact enumeration."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_models import CONFIG, LENGTH, MODEL, PARAMS, PROMPTS, SMALL, perturbed
from scipy import special, stats

from banditlab import llm
from banditlab.llm import generation
from banditlab.numerics import key_records

BLOCKS = {
    "llama": {"num_key_value_heads": 1, "tied": False},
    "qwen3": {"query_key_norm": True, "attention_bias": True, "num_key_value_heads": 2, "head_width": 6},
    "pythia": {
        "norm": "layer",
        "gated": False,
        "activation": "gelu",
        "parallel_blocks": True,
        "attention_bias": True,
        "bias": True,
        "rotary_fraction": 0.5,
        "tied": False,
    },
}
REPEATS = 1024
# One shape for every call: each prompt so often, side by side.
BATCH = llm.Prompts(*(jnp.repeat(leaf, REPEATS, axis=0) for leaf in PROMPTS))
one_pass = jax.jit(generation.token_log_probs, static_argnums=0)


def reference_log_probs(config, params, tokens):
    """(T, V) next-token log-probabilities of one unpadded sequence: loops over layers, heads and positions."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    stream = params["embedding"][np.asarray(tokens)]
    length = len(tokens)

    def norm(values, weights, kind=config.norm):
        if kind == "layer":
            values = values - values.mean(-1, keepdims=True)
        values = values / np.sqrt((values**2).mean(-1, keepdims=True) + config.norm_epsilon) * weights["scale"]
        return values + weights.get("bias", 0.0)

    def turned(vector, position):
        out, half = vector.copy(), config.rotary_width // 2
        for i in range(half):
            turn = np.exp(1j * position * config.rotary_base ** (-i / half)) * (vector[i] + 1j * vector[i + half])
            out[i], out[i + half] = turn.real, turn.imag
        return out

    def attention(inputs, block):
        out = np.zeros((length, config.num_heads, config.head))
        for head in range(config.num_heads):
            group = head * config.key_value_heads // config.num_heads
            columns = {"query": head, "key": group, "value": group}
            query, key, value = (
                inputs @ block[n]["kernel"][:, c] + block[n].get("bias", np.zeros((c + 1, 1)))[c]
                for n, c in columns.items()
            )
            if config.query_key_norm:
                query, key = (norm(v, block[n], "rms") for v, n in ((query, "norm_query"), (key, "norm_key")))
            query, key = ([turned(row, t) for t, row in enumerate(rows)] for rows in (query, key))
            for t in range(length):
                scores = np.array([query[t] @ key[s] for s in range(t + 1)]) / math.sqrt(config.head)
                out[t, head] = special.softmax(scores) @ value[: t + 1]
        kernel = block["output"]["kernel"]
        return out.reshape(length, -1) @ kernel.reshape(-1, kernel.shape[-1]) + block["output"].get("bias", 0.0)

    def mlp(inputs, block):
        def linear(name, values):
            return values @ block[name]["kernel"] + block[name].get("bias", 0.0)

        def activate(v):
            return v * (special.expit(v) if config.activation == "silu" else stats.norm.cdf(v))

        up = linear("up", inputs)
        return linear("down", activate(linear("gate", inputs)) * up if config.gated else activate(up))

    for layer in range(config.num_layers):
        block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], params["blocks"])
        attended = attention(norm(stream, block["norm_attention"]), block)
        if config.parallel_blocks:
            stream = stream + attended + mlp(norm(stream, block["norm_mlp"]), block)
        else:
            stream = stream + attended
            stream = stream + mlp(norm(stream, block["norm_mlp"]), block)
    final = norm(stream, params["norm_final"])
    return special.log_softmax(final @ (params["embedding"].T if config.tied else params["head"]), axis=-1)


@pytest.mark.parametrize("family", [pytest.param("llama", marks=pytest.mark.slow), "qwen3", "pythia"])
def test_one_pass_log_probabilities_equal_a_numpy_decoder_on_unpadded_sequences(family):
    config = llm.DecoderConfig(5, 8, **SMALL, **BLOCKS[family], param_dtype="float64", compute_dtype="float64")
    params = perturbed(config)
    rng = np.random.default_rng(1)
    tokens = jnp.asarray(rng.integers(0, 5, (4, 4)), jnp.int32)
    lengths = np.array([4, 2, 3, 1])
    given = llm.responses(tokens, jnp.asarray(np.arange(4)[None] < lengths[:, None]))
    measured = np.asarray(one_pass(config, params, PROMPTS, given))
    for i, length in enumerate(lengths):
        prompt = np.asarray(PROMPTS.tokens[i])[np.asarray(PROMPTS.mask[i])]
        answer = np.asarray(tokens[i, :length])
        table = reference_log_probs(config, params, [*prompt, *answer])
        expected = table[len(prompt) - 1 : -1][np.arange(length), answer]
        np.testing.assert_allclose(measured[i, :length], expected, atol=1e-11)
        assert not measured[i, length:].any()


def every_response(num_symbols):
    """All V^T strings, repeated to fill the batch: (4 REPEATS, T)."""
    strings = np.stack(np.unravel_index(np.arange(num_symbols**LENGTH), (num_symbols,) * LENGTH), axis=1)
    return np.tile(strings, (len(BATCH.tokens) // len(strings), 1)).astype(np.int32)


TEMPERATURE = jnp.float32(0.7)


@pytest.fixture(scope="module")
def drawn():
    """Responses from a model with an end-of-sequence token, at temperature 0.7."""
    return MODEL.sample(PARAMS, BATCH, jax.random.key(3), TEMPERATURE)


def test_cached_and_one_pass_log_probabilities_agree(drawn):
    np.testing.assert_allclose(drawn.logp, one_pass(CONFIG, PARAMS, BATCH, drawn, TEMPERATURE), atol=1e-5)


def test_a_response_ends_with_its_first_end_token_and_nothing_follows(drawn):
    tokens, mask, logp = map(np.asarray, drawn)
    ends = np.array([list(row).index(MODEL.eos) + 1 if MODEL.eos in row else len(row) for row in tokens])
    assert set(ends) == {1, 2, 3}
    np.testing.assert_array_equal(mask, np.arange(LENGTH)[None] < ends[:, None])
    assert not tokens[~mask].any()
    assert not logp[~mask].any()
    assert (logp[mask] < 0).all()


def test_samples_follow_the_law_of_responses_that_may_end_early(drawn):
    strings = every_response(4)
    before = np.cumsum(strings == MODEL.eos, axis=1) - (strings == MODEL.eos)
    given = llm.responses(np.where(before, 0, strings), jnp.asarray(before == 0))
    logp = np.asarray(one_pass(CONFIG, PARAMS, BATCH, given, TEMPERATURE), np.float64).sum(axis=1)
    powers = 5 ** np.arange(LENGTH)

    def number(responses):  # the end is a symbol of its own, told from a zero
        return np.where(responses.mask, np.asarray(responses.tokens) + 1, 0) @ powers

    listed, first = np.unique(number(given)[:64], return_index=True)
    assert len(listed) == 1 + 3 + 9 * 4
    draws = np.asarray(number(drawn)).reshape(4, REPEATS)
    for i in range(4):
        law = np.exp(logp[i * REPEATS + first])
        np.testing.assert_allclose(law.sum(), 1.0, atol=1e-5)
        counts = np.array([(draws[i] == name).sum() for name in listed])
        assert counts.sum() == REPEATS
        rare = law * REPEATS < 5  # one cell together: alone they would drown the others in their variance
        assert (~rare).sum() >= 4
        law, counts = (np.append(v[~rare], v[rare].sum()) for v in (law, counts))
        # Pearson's statistic: mean A - 1, variance 2 (A - 1) + (sum 1/p - A^2 - 2 A + 2) / n, exactly.
        size = len(law)
        statistic = ((counts - REPEATS * law) ** 2 / (REPEATS * law)).sum()
        variance = 2 * (size - 1) + ((1 / law).sum() - size**2 - 2 * size + 2) / REPEATS
        assert abs(statistic - (size - 1)) < 5 * math.sqrt(variance)


def test_a_response_depends_on_its_row_number_and_not_on_its_place(drawn):
    order = np.random.default_rng(6).permutation(len(BATCH.tokens))
    rows = jnp.asarray(order, jnp.uint32)
    moved = MODEL.sample(PARAMS, llm.Prompts(*(leaf[order] for leaf in BATCH)), jax.random.key(3), 0.7, rows=rows)
    np.testing.assert_array_equal(moved.tokens, np.asarray(drawn.tokens)[order])
    np.testing.assert_allclose(moved.logp, np.asarray(drawn.logp)[order], atol=1e-6)
    with key_records.recording() as found:
        jax.block_until_ready(MODEL.sample(PARAMS, PROMPTS, key_records.key(3), 0.7).tokens)
    used = [use.data for use in found if use.what == "draw"]
    assert len(used) == len(set(used)) > len(PROMPTS.tokens)
    other = MODEL.sample(PARAMS, BATCH, jax.random.key(4), 0.7)
    assert (np.asarray(other.tokens) != np.asarray(drawn.tokens)).any()


@pytest.mark.slow
def test_a_batch_drawn_in_pieces_gives_the_same_responses(drawn):
    for piece in np.split(np.arange(len(BATCH.tokens)), 4):
        prompts = llm.Prompts(*(leaf[piece] for leaf in BATCH))
        part = MODEL.sample(PARAMS, prompts, jax.random.key(3), 0.7, rows=jnp.asarray(piece, jnp.uint32))
        np.testing.assert_array_equal(part.tokens, np.asarray(drawn.tokens)[piece])
        np.testing.assert_allclose(part.logp, np.asarray(drawn.logp)[piece], atol=1e-5)


@pytest.fixture(scope="module")
def table():
    return np.asarray(llm.EnumerableModel(CONFIG, LENGTH, prompts=PROMPTS).log_prob_table(PARAMS))


def test_the_tree_gives_the_law_of_every_response(table):
    np.testing.assert_allclose(np.exp(table).sum(axis=1), 1.0, atol=1e-14)
    logp = one_pass(CONFIG, PARAMS, BATCH, llm.responses(every_response(4)), jnp.float32(1)).sum(axis=1)
    # Float32 logits of size 10, and a sum of three: a few units of 1e-6.
    np.testing.assert_allclose(table, np.asarray(logp).reshape(4, REPEATS)[:, :64], atol=2e-5)


@pytest.mark.slow
def test_bfloat16_products_keep_float32_log_probabilities(table):
    config = dataclasses.replace(CONFIG, compute_dtype="bfloat16")
    logp = one_pass(config, PARAMS, BATCH, llm.responses(every_response(4)), jnp.float32(1)).sum(axis=1)
    assert logp.dtype == jnp.float32
    law = np.asarray(logp, np.float64).reshape(4, REPEATS)[:, :64]
    # A prefix has the same bfloat16 logits in all its responses, and float32 normalises them: to 1e-6, not 1e-2.
    np.testing.assert_allclose(np.exp(law).sum(axis=1), 1.0, atol=1e-5)
    assert 1e-4 < np.abs(law - table).max() < 0.5
    logits = llm.decoder.logits(
        config, PARAMS, jnp.asarray(np.random.default_rng(0).normal(size=(4, 16)), jnp.bfloat16)
    )
    assert logits.dtype == jnp.float32
    assert (np.asarray(logits) != np.asarray(logits.astype(jnp.bfloat16).astype(jnp.float32))).any()


def test_no_array_of_the_decoder_is_64_bits_wide(drawn):
    sample = jax.make_jaxpr(lambda p, k: MODEL.sample(p, BATCH, k))(PARAMS, jax.random.key(0))
    slope = jax.make_jaxpr(jax.grad(lambda p: MODEL.log_prob(p, BATCH, drawn).sum()))(PARAMS)
    for jaxpr in (sample, slope):
        # Scalars without a shape are Python's numbers, and jax.random.categorical counts its argmax in 64 bits.
        assert not re.findall(r"f64\[\d", str(jaxpr))
    fresh = jax.eval_shape(MODEL.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {jnp.dtype(jnp.float32)}
    assert [leaf.dtype for leaf in drawn] == [jnp.int32, jnp.bool_, jnp.float32]


@pytest.mark.slow
def test_parameters_start_with_kernels_of_unit_gain():
    params = MODEL.init(jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(PARAMS)
    for name, fan_in in {"query": 16, "down": 12 * 4, "output": 16 * 4}.items():
        kernel = np.asarray(params["blocks"][name]["kernel"])
        # A sample deviation of n normals has relative standard error (2 n)^(-1/2).
        assert abs(kernel.std() * math.sqrt(fan_in) - 1) < 4 / math.sqrt(2 * kernel.size)
