"""The language-model core: an independent NumPy decoder, exact enumeration, and the bandit it must agree with."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import banditlab as bl
from banditlab import llm
from banditlab.estimators import objective
from banditlab.llm import generation, preference

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
SMALL = {"width": 16, "num_layers": 2, "num_heads": 4, "hidden_width": 12}
PROMPTS = llm.pad_prompts([[1, 2, 0], [3], [2, 2], [0, 3]])
LENGTH = 3
REPEATS = 1024
# One shape for every call: each prompt so often, side by side.
BATCH = llm.Prompts(*(jnp.repeat(leaf, REPEATS, axis=0) for leaf in PROMPTS))
one_pass = jax.jit(generation.token_log_probs, static_argnums=0)


def perturbed(config, seed=0):
    """Random parameters with no scale at one and no bias at zero, of the shapes that `init` gives."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        names = [str(step.key) for step in path]
        centre = float(names[-1] == "scale")
        spread = 0.3 if names[-1] in ("scale", "bias") else (0.7 if "embedding" in names else 0.35)
        return jnp.asarray(centre + spread * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(
        draw, jax.eval_shape(lambda k: llm.decoder.init(k, config), jax.random.key(0))
    )


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


CONFIG = llm.DecoderConfig(4, 6, **SMALL, num_key_value_heads=2)
MODEL = llm.LanguageModel(CONFIG, LENGTH, eos=3)
PARAMS = perturbed(CONFIG)
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


def test_habit_target_has_the_coverage_and_the_optimum_of_its_closed_forms():
    task = llm.tasks.habit_target()
    assert round(float(task.coverage)) == 875
    evaluator = llm.exact.evaluator(task.reward_table, task.log_corpus, float(task.beta))
    optimum = llm.exact.measure(evaluator, evaluator.env.log_target)
    reference = llm.exact.measure(evaluator, evaluator.env.log_reference)
    np.testing.assert_allclose(reference["coverage"], task.coverage, rtol=1e-12)
    np.testing.assert_allclose(optimum["objective"], task.optimum, rtol=1e-12)
    np.testing.assert_allclose(optimum["coverage"], 1.0, rtol=1e-12)
    for measured in (optimum, reference):
        np.testing.assert_allclose(measured["objective"] + measured["gap"], task.optimum, rtol=1e-12)
    np.testing.assert_allclose(reference["win_rate"], 0.5, rtol=1e-12)
    np.testing.assert_allclose(reference["density_ratio"], (task.target_prob / task.reference_prob) ** 4, rtol=1e-12)
    assert (np.asarray(task.habit) != np.asarray(task.target)).all()


def test_the_dial_lowers_coverage_of_a_target_that_stays():
    dialled = [llm.tasks.coverage_dial(noise) for noise in (1.0, 0.5, 0.1)]
    for task in dialled:
        np.testing.assert_allclose(task.target_prob, llm.tasks.TARGET_PROB, rtol=1e-12)
    np.testing.assert_allclose(dialled[1].match_reward, 1.5, rtol=1e-12)
    coverage = [float(task.coverage) for task in dialled]
    assert coverage[0] < coverage[1] < coverage[2]


def test_rewards_and_corpus_tables_agree_with_responses_one_by_one():
    task = llm.tasks.habit_target(num_symbols=4, length=3, num_prompts=5, noise=0.4)
    assert task.prompts.tokens.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0]]
    responses, table, law = np.asarray(task.responses.tokens), task.reward_table, np.exp(task.log_corpus)
    assert len(np.unique(responses, axis=0)) == task.num_responses == 64
    prompt = np.repeat(np.arange(5), 64)
    rewards = jax.jit(task.reward)(prompt, np.tile(responses, (5, 1)))
    np.testing.assert_allclose(rewards, table.ravel())
    for habit, probabilities in zip(np.asarray(task.habit), law, strict=True):
        expected = np.prod(0.6 * (responses == habit) + 0.1, axis=1)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-12)
    num = 20_000
    drawn = np.asarray(jax.jit(task.sample_corpus)(jax.random.key(1), np.zeros(num, np.int32)).tokens)
    counts = np.stack([(drawn == symbol).mean(axis=0) for symbol in range(4)])
    expected = 0.6 * (np.arange(4)[:, None] == np.asarray(task.habit[0])) + 0.1
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected * (1 - expected) / num)).all()


def test_win_rate_from_levels_equals_the_sum_over_all_pairs():
    rng = np.random.default_rng(2)
    reward = rng.integers(0, 5, (3, 7)) * 0.4
    log_reference, log_policy = (special.log_softmax(rng.normal(size=(3, 7)), axis=1) for _ in range(2))
    evaluator = llm.exact.evaluator(reward, log_reference, 0.5, context_probs=[0.2, 0.5, 0.3])
    whole = jax.jit(bl.metrics.win_rate)(evaluator.env, log_policy)
    np.testing.assert_allclose(jax.jit(llm.exact.win_rate)(evaluator, log_policy), whole, rtol=1e-12)


# The bridge: one prompt token is the context, one response token the action.
SYMBOLS = 6


@pytest.fixture(scope="module")
def bridge():
    """A tabular bandit, labelled pairs from it, and its loss and gradient in the logits (S, A)."""
    rng = np.random.default_rng(4)
    log_reference = special.log_softmax(rng.normal(size=(SYMBOLS, SYMBOLS)), axis=1)
    context, chosen, rejected = rng.integers(0, SYMBOLS, (3, 50))
    env = bl.Environment.create(
        np.eye(SYMBOLS**2).reshape(SYMBOLS, SYMBOLS, -1),
        reward=rng.normal(size=(SYMBOLS, SYMBOLS)),
        log_reference=log_reference,
        log_base=np.zeros((SYMBOLS, SYMBOLS)),
        beta=0.7,
        unidentified="allow",
    )
    wins = bl.preferences.wins_from_comparisons(context, chosen, rejected, shape=(SYMBOLS, SYMBOLS))
    pairs = preference.Pairs(
        llm.pad_prompts(context[:, None].tolist()),
        llm.responses(chosen[:, None]),
        llm.responses(rejected[:, None]),
        jnp.asarray(log_reference[context, chosen] - log_reference[context, rejected]),
    )

    @jax.jit
    def tabular(logits):
        """Mean loss and its gradient in the logits, by the estimators' own objective."""
        built = objective.build(env, wins, None)
        margins = built.margins(env.difference_basis.T @ logits.ravel())
        outcomes = jnp.stack([bl.losses.dpo(margins), bl.losses.dpo(-margins)])
        self_pairs = jnp.einsum("xaa->", wins) * bl.losses.dpo(jnp.zeros(()))
        slope, _ = built.derivatives(bl.losses.dpo, margins)
        gradient = (env.difference_basis @ slope).reshape(SYMBOLS, SYMBOLS)
        return (jnp.sum(built.wins * outcomes) + self_pairs) / 50, gradient / 50

    return env, pairs, tabular


def test_a_one_token_policy_has_the_tabular_bandits_dpo_loss_and_gradient(bridge):
    env, pairs, tabular = bridge
    table = llm.LogitTable(SYMBOLS, SYMBOLS)
    logits = jnp.asarray(np.random.default_rng(5).normal(size=(SYMBOLS, SYMBOLS)))
    step = jax.jit(jax.value_and_grad(lambda p: preference.mean_loss(table, p, pairs, env.beta)))
    loss, gradient = step(logits)
    expected_loss, expected_gradient = tabular(logits)
    np.testing.assert_allclose(loss, expected_loss, atol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-12)


def test_a_one_token_decoder_has_the_tabular_bandits_loss_and_gradient_through_its_logits(bridge):
    env, pairs, tabular = bridge
    config = llm.DecoderConfig(SYMBOLS, 2, **(SMALL | {"num_layers": 1}))
    contexts = llm.pad_prompts(np.arange(SYMBOLS)[:, None].tolist())
    model = llm.LanguageModel(config, 1)
    params = perturbed(config)

    @jax.jit
    def both(params):
        loss, gradient = jax.value_and_grad(lambda p: preference.mean_loss(model, p, pairs, env.beta))(params)
        logits, pull = jax.vjp(lambda p: generation.prefill(config, p, contexts)[0], params)
        expected_loss, table_gradient = tabular(logits.astype(jnp.float64))
        return loss, gradient, expected_loss, pull(table_gradient.astype(jnp.float32))[0]

    loss, gradient, expected_loss, expected = both(params)
    np.testing.assert_allclose(loss, expected_loss, atol=1e-6)
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, atol=1e-6), gradient, expected)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) > 1e-3


def test_labels_choose_and_self_pairs_have_margin_zero(bridge):
    env, pairs, _ = bridge
    first, second = jax.jit(preference.label)(jnp.zeros(50, bool), pairs.chosen, pairs.rejected)
    np.testing.assert_array_equal(first.tokens, pairs.rejected.tokens)
    np.testing.assert_array_equal(second.tokens, pairs.chosen.tokens)
    table = llm.LogitTable(SYMBOLS, SYMBOLS)
    same = pairs._replace(rejected=pairs.chosen, log_reference=jnp.zeros(50))
    margins = jax.jit(lambda logits: preference.margins(table, logits, same, env.beta))(jnp.eye(SYMBOLS))
    assert not np.asarray(margins).any()


def test_policies_keep_the_protocol():
    assert isinstance(MODEL, llm.Policy)
    assert not isinstance(MODEL, llm.EnumerablePolicy)
    assert isinstance(llm.EnumerableModel(CONFIG, LENGTH, prompts=PROMPTS), llm.EnumerablePolicy)
    assert isinstance(llm.LogitTable(2, 3), llm.EnumerablePolicy)


# Training, on a task of 16 responses.
TINY = llm.tasks.habit_target(num_symbols=4, length=2, num_prompts=3)
LEARNER = llm.EnumerableModel(llm.DecoderConfig(4, 3, **SMALL), 2, prompts=TINY.prompts)
ROUNDS = {"num_rounds": 2, "num_pairs": 512, "num_epochs": 2, "batch_size": 128}


@pytest.fixture(scope="module")
def reference():
    start = LEARNER.init(jax.random.key(0))
    params, loss = llm.pretraining.pretrain(LEARNER, start, TINY, jax.random.key(1), num_steps=300, batch_size=128)
    return start, params, np.asarray(loss)


@pytest.fixture(scope="module")
def arms(reference):
    """(2, num_rounds) histories of every arm, six runs side by side; the evaluator; and one run alone."""
    evaluator = llm.exact.evaluator(TINY.reward_table, LEARNER.log_prob_table(reference[1]), float(TINY.beta))
    keys = jax.vmap(jax.random.key)(jnp.arange(2, dtype=jnp.uint32))

    def run(algorithm, key):
        return llm.algorithms.train(
            algorithm, LEARNER, reference[1], TINY, evaluator, key, learning_rate=3e-3, **ROUNDS
        )[1]

    algorithms = {
        "offline": llm.algorithms.offline_dpo(),
        "fixed": llm.algorithms.offline_dpo(fresh=False),
        "on_policy": llm.algorithms.on_policy_dpo(),
    }
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *algorithms.values())
    together = jax.vmap(jax.vmap(run, (None, 0)), (0, None))(stacked, keys)
    histories = {name: {k: np.asarray(v[i]) for k, v in together.items()} for i, name in enumerate(algorithms)}
    return histories, evaluator, run(algorithms["on_policy"], keys[1])


@pytest.mark.slow
def test_pretraining_brings_the_model_to_the_corpus(reference):
    start, params, loss = reference
    evaluator = llm.exact.evaluator(np.zeros((3, 16)), TINY.log_corpus, 1.0)
    before, after = (
        float(llm.exact.measure(evaluator, LEARNER.log_prob_table(p))["kl_target"]) for p in (start, params)
    )
    assert after < before / 5
    # With a reward of zero pi* is the corpus: the loss is its entropy plus that divergence, up to a batch's noise.
    entropy = -(np.exp(TINY.log_corpus) * TINY.log_corpus).sum(axis=1).mean()
    spread = math.sqrt((np.exp(TINY.log_corpus) * (TINY.log_corpus + entropy) ** 2).sum(axis=1).mean() / (50 * 128))
    assert abs(loss[-50:].mean() - entropy - after) < 4 * spread + 0.01


@pytest.mark.slow
def test_labels_are_bradley_terrys_and_pairs_come_from_the_sampler(reference):
    pairs = jax.jit(lambda params, key: llm.algorithms.draw_pairs(LEARNER, params, params, TINY, key, 4096))(
        reference[1], jax.random.key(7)
    )
    prompt = np.asarray(pairs.prompts.tokens)[:, 0]
    gap = np.asarray(TINY.reward(prompt, pairs.chosen.tokens) - TINY.reward(prompt, pairs.rejected.tokens))
    # Of a pair with different rewards the better one wins with probability sigma(|gap|).
    wins = special.expit(np.abs(gap[gap != 0]))
    assert len(wins) > 500
    assert abs((gap > 0).sum() - wins.sum()) < 4 * math.sqrt((wins * (1 - wins)).sum())
    table = np.asarray(LEARNER.log_prob_table(reference[1]))
    chosen, rejected = (table[prompt, np.asarray(r.tokens) @ [4, 1]] for r in (pairs.chosen, pairs.rejected))
    np.testing.assert_allclose(pairs.log_reference, chosen - rejected, atol=1e-5)
    # E log pi of what pi drew is minus its entropy.
    entropy = (np.exp(table) * table).sum(axis=1)
    assert abs((chosen + rejected - 2 * entropy[prompt]).mean()) < 4 * (chosen + rejected).std() / math.sqrt(4096)


@pytest.mark.slow
def test_all_arms_start_alike_and_part_in_the_second_round(arms):
    histories, _, _ = arms
    gaps = {name: history["gap"] for name, history in histories.items()}
    for name in ("fixed", "on_policy"):
        # In every arm the reference draws the first round's pairs.
        np.testing.assert_array_equal(gaps[name][:, 0], gaps["offline"][:, 0])
        assert (gaps[name][:, 1] != gaps["offline"][:, 1]).all()
    assert histories["offline"]["num_labels"][0].tolist() == [512, 1024]
    assert histories["fixed"]["num_labels"][0].tolist() == [512, 512]


@pytest.mark.slow
def test_training_lowers_the_gap_and_seeds_side_by_side_equal_one_alone(arms):
    histories, evaluator, alone = arms
    start = llm.exact.measure(evaluator, evaluator.env.log_reference)
    for history in histories.values():
        assert (history["gap"] < float(start["gap"])).all()
        optimum = float(start["objective"] + start["gap"])
        np.testing.assert_allclose(history["objective"] + history["gap"], optimum, rtol=1e-9)
    for name in ("gap", "kl_reference", "loss"):
        # Adam divides by the root of the gradient's square: rounding of float32 grows a hundredfold over 16 steps.
        np.testing.assert_allclose(histories["on_policy"][name][1], alone[name], rtol=1e-3)


def config_of(**changes):
    return llm.DecoderConfig(**({"vocabulary_size": 5, "context_length": 8} | changes))


REFUSED = {
    "num_layers must be a whole number": lambda m, p: config_of(num_layers=1.5),
    "width must be a multiple of num_heads = 4": lambda m, p: config_of(width=18),
    "num_key_value_heads must divide num_heads = 4; got 3": lambda m, p: config_of(num_key_value_heads=3),
    "norm must be one of 'rms', 'layer'; got 'batch'": lambda m, p: config_of(norm="batch"),
    "rotary_fraction must be at most 1 and leave an even": lambda m, p: config_of(head_width=5),
    "compute_dtype must be one of": lambda m, p: config_of(compute_dtype="int8"),
    r"context_length = 8; got 1 \+ 8 tokens": lambda m, p: llm.LanguageModel(config_of(), 8),
    r"context_length = 6; got 4 \+ 3 tokens": lambda m, p: m.sample(p, llm.pad_prompts([[1] * 4]), jax.random.key(0)),
    r"prompts must lie in 0..3; got values from 5 to 5": lambda m, p: m.sample(
        p, llm.pad_prompts([[5]]), jax.random.key(0)
    ),
    "temperature must be positive and finite; got 0": lambda m, p: m.sample(p, PROMPTS, jax.random.key(0), 0),
    r"rows must be \(4,\); got \(2,\)": lambda m, p: m.sample(p, PROMPTS, jax.random.key(0), rows=jnp.arange(2)),
    "prompts must be padded on the left": lambda m, p: m.sample(
        p, PROMPTS._replace(mask=PROMPTS.mask[:, ::-1]), jax.random.key(0)
    ),
    "responses must be as many as prompts, 4; got 2": lambda m, p: m.log_prob(
        p, PROMPTS, llm.responses(jnp.zeros((2, 3), jnp.int32))
    ),
    "eos must be below vocabulary_size = 5; got 5": lambda m, p: llm.LanguageModel(config_of(), 4, eos=5),
    r"to be enumerated; got 100\^4": lambda m, p: llm.EnumerableModel(
        config_of(vocabulary_size=100), 4, prompts=PROMPTS
    ),
    "got none in prompt 1": lambda m, p: llm.pad_prompts([[1], []]),
    "noise must be at most 1; got 2": lambda m, p: llm.tasks.habit_target(noise=2),
    "num_symbols must be at least 2": lambda m, p: llm.tasks.habit_target(num_symbols=1),
    "target_prob must lie above noise / num_symbols = 0.125": lambda m, p: llm.tasks.coverage_dial(
        1.0, target_prob=0.1
    ),
    "num_steps must be a whole number": lambda m, p: llm.pretraining.pretrain(
        LEARNER, None, TINY, jax.random.key(0), num_steps=0.5, batch_size=1
    ),
    "model must have the task's response_length = 2; got 3": lambda m, p: llm.pretraining.pretrain(
        m, p, TINY, jax.random.key(0), num_steps=1, batch_size=1
    ),
    "batch_size must divide num_pairs = 512; got 100": lambda m, p: llm.algorithms.train(
        llm.algorithms.on_policy_dpo(),
        LEARNER,
        None,
        TINY,
        None,
        None,
        learning_rate=1,
        **(ROUNDS | {"batch_size": 100}),
    ),
    "reward must take at most 4096 distinct values": lambda m, p: llm.exact.evaluator(
        np.arange(5000.0)[None], np.full((1, 5000), -math.log(5000)), 1.0
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_one_clear_error(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message](MODEL, PARAMS)
