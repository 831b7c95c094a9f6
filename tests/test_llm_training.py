"""Pretraining and the arms of DPO on a decoder."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_models import LEARNER, TINY
from scipy import special

from banditlab import llm

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
    algorithm = llm.algorithms.on_policy_dpo()
    drawn = jax.jit(lambda params, key: llm.algorithms.draw(algorithm, LEARNER, params, params, None, TINY, key, 4096))(
        reference[1], jax.random.key(7)
    )
    pairs = drawn.pairs
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
