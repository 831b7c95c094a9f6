"""Length tasks: responses that end when the policy says so, and what is exact about them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from banditlab import llm
from banditlab.llm import generation, listing
from banditlab.llm.tasks import min_length, mode_length, skew_length
from banditlab.numerics import compilation

TASKS = {"min": min_length, "mode": mode_length, "skew": skew_length}
SMALL = {"width": 16, "num_layers": 1, "num_heads": 2, "hidden_width": 12}
# A task of 31 responses and a decoder of it with parameters that mean nothing.
TASK = min_length(num_symbols=3, length=4, num_prompts=3, mode=2.0)
MODEL = llm.EnumerableModel(llm.DecoderConfig(3, 6, **SMALL), **llm.tasks.model_options(TASK))
# Every prompt as often as there are responses, the shape of all passes.
EVERY_PROMPT = llm.Prompts(*(np.repeat(leaf, TASK.num_responses, axis=0) for leaf in TASK.prompts))
# These programs run once.
quickly = functools.partial(compilation.outermost, optimized=False)
one_pass = quickly(functools.partial(generation.token_log_probs, MODEL.config))


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(0.7 * rng.normal(size=leaf.shape), leaf.dtype), shapes)


@pytest.fixture(scope="module")
def table(params):
    return np.asarray(quickly(MODEL.log_prob_table)(params))


def test_every_response_is_listed_once_and_ends_once():
    listed = TASK.responses
    tokens, mask = np.asarray(listed.tokens), np.asarray(listed.mask)
    words = ["".join(map(str, row[kept])) for row, kept in zip(tokens, mask, strict=True)]
    assert len(set(words)) == TASK.num_responses == 1 + 2 + 4 + 8 + 16
    assert all(word.count("2") == (len(word) < 4 or word.endswith("2")) for word in words)
    assert all("2" not in word[:-1] for word in words)
    assert words[:4] == ["2", "02", "12", "002"]
    assert not tokens[~mask].any()
    assert listing.all_responses(4, 2).tokens.tolist() == [[i, j] for i in range(4) for j in range(4)]


def test_the_tree_with_an_end_gives_every_response_the_probability_of_one_pass(table, params):
    np.testing.assert_allclose(np.exp(table).sum(axis=1), 1.0, atol=1e-14)
    listed = llm.Responses(*(np.tile(leaf, (TASK.num_prompts, 1)) for leaf in TASK.responses))
    # Float32 logits of size 10, and a sum of at most four: a few units of 1e-6.
    np.testing.assert_allclose(table.ravel(), one_pass(params, EVERY_PROMPT, listed).sum(axis=1), atol=2e-5)


def test_the_length_law_is_that_of_the_chances_to_end_at_every_prefix(table, params):
    """Against the recursion over prefixes S_{l+1} = sum over prefixes of P(prefix) (1 - h(prefix))."""
    law = TASK.length_law(table)
    for x in range(TASK.num_prompts):
        prefixes, alive = [()], [1.0]
        for size in range(TASK.length):
            np.testing.assert_allclose(law.survival[x, size], sum(alive), atol=1e-6)
            chances = next_symbols(params, x, prefixes)
            grown = [p * chances[i, s] for i, p in enumerate(alive) for s in range(2)]
            np.testing.assert_allclose(law.probs[x, size], np.array(alive) @ chances[:, 2], atol=1e-6)
            prefixes, alive = [(*prefix, s) for prefix in prefixes for s in range(2)], grown
        np.testing.assert_allclose(law.probs[x, -1], sum(alive), atol=1e-6)
    survival = np.asarray(law.survival)
    np.testing.assert_allclose(survival[:, 0], 1.0, atol=1e-14)
    np.testing.assert_allclose(law.probs, survival - np.pad(survival[:, 1:], ((0, 0), (0, 1))), atol=1e-15)


def next_symbols(params, prompt, prefixes):
    """(len(prefixes), V) probabilities of the next symbol, in batches of one shape."""
    size, column = len(prefixes[0]), np.arange(3 * len(prefixes))
    rows = np.zeros((len(EVERY_PROMPT.tokens), TASK.length), np.int32)
    rows[column, :size] = np.repeat(np.array(prefixes, np.int32).reshape(len(prefixes), size), 3, axis=0)
    rows[column, size] = column % 3
    prompts = llm.Prompts(*(np.repeat(leaf[prompt : prompt + 1], len(rows), axis=0) for leaf in TASK.prompts))
    logs = np.asarray(one_pass(params, prompts, llm.responses(rows)), np.float64)
    return np.exp(logs[column, size]).reshape(-1, 3)


@pytest.mark.slow
def test_sampled_lengths_follow_the_exact_length_law(table, params):
    num = 6000
    prompts = llm.Prompts(*(jnp.repeat(leaf, num, axis=0) for leaf in TASK.prompts))
    lengths = np.asarray(TASK.response_lengths(MODEL.sample(params, prompts, jax.random.key(5)).tokens))
    counts = (lengths.reshape(TASK.num_prompts, num, 1) == np.arange(TASK.length + 1)).mean(axis=1)
    law = np.asarray(TASK.length_law(table).probs)
    assert (np.abs(counts - law) < 4 * np.sqrt(law * (1 - law) / num) + 1e-6).all()


@pytest.mark.parametrize("name", TASKS)
def test_closed_forms_over_lengths_equal_sums_over_all_responses(name):
    task = TASKS[name](num_prompts=2)
    evaluator = llm.exact.evaluator(task.reward_table, task.log_corpus, float(task.beta))
    assert evaluator.levels.size <= task.length + 1
    optimum = llm.exact.measure(evaluator, evaluator.env.log_target)
    reference = llm.exact.measure(evaluator, evaluator.env.log_reference)
    np.testing.assert_allclose(optimum["objective"], task.optimum, rtol=1e-12)
    np.testing.assert_allclose(reference["coverage"], task.coverage, rtol=1e-12)
    np.testing.assert_allclose(reference["objective"] + reference["gap"], task.optimum, rtol=1e-12)
    target = task.length_law(evaluator.env.log_target).probs
    np.testing.assert_allclose(target, np.tile(task.target_length_probs, (2, 1)), rtol=1e-10)


@pytest.mark.parametrize("name", TASKS)
def test_the_corpus_has_its_length_law_and_its_hazard(name):
    task = TASKS[name](num_prompts=1)
    law = task.length_law(task.log_corpus)
    np.testing.assert_allclose(law.probs[0], task.length_probs, rtol=1e-12)
    survival = np.concatenate([[1.0], np.cumprod(1 - task.hazard)])
    np.testing.assert_allclose(law.survival[0], survival, rtol=1e-9)
    if name == "skew":
        np.testing.assert_allclose(task.hazard, 0.4, rtol=1e-12)


def test_rewards_peak_where_each_task_says_and_the_corpus_rarely_goes_there():
    peaks = {name: int(np.argmax(make().length_rewards)) for name, make in TASKS.items()}
    assert peaks == {"min": 0, "mode": 6, "skew": 8}
    shares = {name: float(TASKS[name]().length_probs[peak]) for name, peak in peaks.items()}
    assert shares["mode"] == max(np.asarray(mode_length().length_probs))
    assert shares["min"] < 1e-3 < shares["skew"] < 1e-2
    assert 20 * mode_length().coverage < min(min_length().coverage, skew_length().coverage)


def test_corpus_responses_follow_the_corpus_table():
    num = 20_000
    prompt = np.zeros(num, np.int32)
    drawn = quickly(TASK.sample_corpus)(jax.random.key(2), prompt)
    tokens, mask = np.asarray(drawn.tokens), np.asarray(drawn.mask)
    listed = np.asarray(TASK.responses.tokens) @ 3 ** np.arange(4)
    order = np.argsort(listed)
    found = order[np.searchsorted(listed[order], tokens @ 3 ** np.arange(4))]
    np.testing.assert_array_equal(np.asarray(TASK.responses.mask)[found], mask)
    counts, law = np.bincount(found, minlength=31) / num, np.exp(TASK.log_corpus[0])
    assert (np.abs(counts - law) < 4 * np.sqrt(law * (1 - law) / num) + 1e-12).all()
    rewards = quickly(TASK.reward)(prompt, drawn.tokens)
    np.testing.assert_allclose(rewards, TASK.reward_table[0, found])
    lengths = np.where((tokens == 2).any(axis=1), np.argmax(tokens == 2, axis=1), 4)
    np.testing.assert_allclose(rewards, -0.75 * lengths)


def test_a_vocabulary_of_one_symbol_and_the_end_lists_long_responses():
    task = skew_length(num_symbols=2, length=60, num_prompts=1, hazard=0.2, wanted=50.0)
    assert task.num_responses == 61
    np.testing.assert_allclose(np.exp(task.log_corpus).sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(special.logsumexp(task.log_corpus + task.reward_table / 0.5) * 0.5, task.optimum)


def test_tasks_keep_the_protocol():
    for task in (TASK, llm.tasks.habit_target()):
        assert isinstance(task, llm.tasks.Task)
        assert task.reward_table.shape == task.log_corpus.shape == (task.num_prompts, task.num_responses)


REFUSED = {
    "num_symbols must be at least 2, one of them the end; got 1": lambda: min_length(num_symbols=1),
    "num_prompts must be 1 with num_symbols = 2.*got 4": lambda: mode_length(num_symbols=2),
    "to be enumerated; got 9\\^9": lambda: min_length(num_symbols=9, length=9),
    "mode must lie in 0..10; got 11": lambda: min_length(mode=11),
    "spread must be positive": lambda: min_length(spread=0),
    "hazard must lie between 0 and 1; got 1": lambda: skew_length(hazard=1),
    "wanted must lie in 0..10; got 12": lambda: skew_length(wanted=12),
    "slope must be positive": lambda: min_length(slope=-1),
    "model must have the task's eos = 2; got None": lambda: llm.pretraining.check_task(
        llm.EnumerableModel(MODEL.config, 4, prompts=TASK.prompts), TASK
    ),
    r"log_policy must be \(3, 31\); got \(1, 31\)": lambda: TASK.length_law(np.zeros((1, 31))),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_one_clear_error(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
