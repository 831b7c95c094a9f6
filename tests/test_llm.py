"""The language-model core: tasks with closed forms, the bandit it must agree with, and bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_models import CONFIG, LEARNER, LENGTH, MODEL, PARAMS, PROMPTS, SMALL, TINY, perturbed
from scipy import special

import banditlab as bl
from banditlab import llm
from banditlab.estimators import objective
from banditlab.llm import generation, preference


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


def test_a_policy_that_misses_a_response_of_the_optimum_has_no_coverage():
    reference = np.log(
        [[0.5, 0.3, 0.2], [0.6, 0.4, 0.0]], where=[[True] * 3, [True, True, False]], out=np.full((2, 3), -np.inf)
    )
    evaluator = llm.exact.evaluator([[1.0, 0.0, 2.0], [0.0, 1.0, 5.0]], reference, 1.0)
    missed = reference.copy()
    missed[0] = np.log(0.5), np.log(0.5), -np.inf
    found = llm.exact.measure(evaluator, jnp.asarray(missed))
    assert found["coverage"] == found["density_ratio"] == np.inf
    # What pi* never says may be missing, and so may everything in a context that never comes.
    assert np.isfinite(float(llm.exact.measure(evaluator, jnp.asarray(reference))["coverage"]))
    never = llm.exact.evaluator([[1.0, 0.0, 2.0], [0.0, 1.0, 5.0]], reference, 1.0, context_probs=[0.0, 1.0])
    assert np.isfinite(float(llm.exact.measure(never, jnp.asarray(missed))["coverage"]))


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


def config_of(**changes):
    return llm.DecoderConfig(**({"vocabulary_size": 5, "context_length": 8} | changes))


TRAINING = {"num_rounds": 2, "num_pairs": 512, "num_epochs": 2, "batch_size": 128, "learning_rate": 1}
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
    "responses must lie in 0..3; got values from 9 to 9": lambda m, p: llm.LogitTable(3, 4).log_prob(
        jnp.zeros((3, 4)), llm.pad_prompts([[2]]), llm.responses(jnp.full((1, 1), 9))
    ),
    "prompts must lie in 0..2; got values from 7 to 7": lambda m, p: llm.LogitTable(3, 4).sample(
        jnp.zeros((3, 4)), llm.pad_prompts([[7]]), jax.random.key(0)
    ),
    "num_symbols must be at least 2 to number 2 prompts; got 1": lambda m, p: llm.listing.numbered_prompts(2, 1),
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
        **(TRAINING | {"batch_size": 100}),
    ),
    "num_prompts must be at most batch_size = 128; got 200": lambda m, p: llm.algorithms.train(
        llm.algorithms.hypo(1.0, num_prompts=200), LEARNER, None, TINY, None, None, **TRAINING
    ),
    "penalty must be non-negative and finite; got -1": lambda m, p: llm.algorithms.hypo(-1),
    "num_samples must be at least 2, for leave-one-out baselines; got 1": lambda m, p: llm.algorithms.hypo(
        1, num_samples=1
    ),
    "num_prompts must be a whole number": lambda m, p: llm.algorithms.hypo(1, num_prompts=0),
    "noise must be non-negative and finite; got -0.1": lambda m, p: llm.algorithms.reward_distillation(noise=-0.1),
    "oracle must be one of 'reward', 'bradley_terry', 'learned'; got 'human'": lambda m, p: llm.algorithms.offline_dpo(
        oracle="human"
    ),
    "oracle must be 'reward' or a learned one where": lambda m, p: llm.algorithms.reward_distillation(
        oracle="bradley_terry"
    ),
    "fresh must be left out where the current policy": lambda m, p: llm.algorithms.reward_distillation(fresh=False),
    "ridge must be positive": lambda m, p: llm.oracles.learned(ridge=0),
    "num_candidates must be a whole number": lambda m, p: llm.algorithms.hybrid_dpo(num_candidates=0.5),
    "scheme must be one of 'design', 'paired', 'mixture'; got 'joint'": lambda m, p: llm.algorithms.hybrid_dpo(
        scheme="joint"
    ),
    "reward must take at most 4096 distinct values": lambda m, p: llm.exact.evaluator(
        np.arange(5000.0)[None], np.full((1, 5000), -math.log(5000)), 1.0
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_one_clear_error(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message](MODEL, PARAMS)
