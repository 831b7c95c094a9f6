"""The algorithms on a table of logits: how a run goes on, what is measured, what is fitted."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_tables import BEST, EVALUATOR, KEY, MODEL, REFERENCE, SIZES, TASK, begin, draw, equal, rewards, step
from scipy import special

from banditlab import llm
from banditlab.llm import algorithms
from banditlab.llm.algorithms import divergence, fitting, rounds
from banditlab.numerics import key_records


@pytest.fixture(scope="module")
def three_rounds():
    """States and metrics of three rounds on policy, from the start on."""
    states, metrics = [begin(algorithms.on_policy_dpo())], []
    for _ in range(3):
        state, measured = step(algorithms.on_policy_dpo(), states[-1])
        states.append(state)
        metrics.append(measured)
    return states, metrics


def test_a_run_resumed_from_a_saved_state_is_bitwise_the_run_that_went_on(three_rounds):
    states, metrics = three_rounds
    saved = jax.tree.map(lambda leaf: np.array(leaf), states[1])
    assert int(saved.number) == 1
    state = jax.tree.map(jnp.asarray, saved)
    for k in (1, 2):
        state, measured = step(algorithms.on_policy_dpo(), state)
        equal(state, states[k + 1])
        equal(measured, metrics[k])


def test_rounds_that_are_not_measured_are_bitwise_those_that_are(three_rounds):
    states, _ = three_rounds
    given = (algorithms.on_policy_dpo(), MODEL, REFERENCE, TASK, TASK.beta, KEY)
    state = states[0]
    for k in range(3):
        state = algorithms.update(*given, state, **SIZES)
        equal(state, states[k + 1])


@pytest.mark.parametrize(
    "algorithm",
    [
        algorithms.hypo(0.1, fresh=True, num_samples=2),
        algorithms.reward_distillation(noise=0.5),
        algorithms.hybrid_dpo(num_candidates=3),
    ],
    ids=["hypo", "distillation", "hybrid"],
)
def test_no_key_of_two_rounds_is_drawn_from_twice(algorithm):
    """Neither batches' orders nor draws for the divergence are those of an earlier round or step."""
    key, sizes = key_records.key(5), SIZES | {"num_pairs": 8, "batch_size": 4}
    with key_records.recording() as found:
        state = begin(algorithm)
        for _ in range(2):
            state = algorithms.update(algorithm, MODEL, REFERENCE, TASK, TASK.beta, key, state, **sizes)
        jax.block_until_ready(state)
    drawn = [use.data for use in found if use.what == "draw"]
    assert len(drawn) == len(set(drawn)) > 2 * 3  # prompts, responses, labels and more, in each round
    # Draws of the divergence apart, a key that is drawn from makes no others.
    assert not {use.data for use in found if use.what in ("split", "fold")} & set(drawn)


def test_no_batch_of_pretraining_is_drawn_twice():
    task = llm.tasks.habit_target(num_symbols=4, length=2, num_prompts=3)
    config = llm.DecoderConfig(4, 3, width=4, num_layers=1, num_heads=1, hidden_width=4)
    model = llm.EnumerableModel(config, 2, prompts=task.prompts)
    with key_records.recording() as found:
        trained = llm.pretraining.pretrain(
            model, model.init(jax.random.key(0)), task, key_records.key(5), num_steps=4, batch_size=8
        )
        jax.block_until_ready(trained)
    drawn = [use.data for use in found if use.what == "draw"]
    assert len(drawn) == len(set(drawn)) >= 2 * 4  # prompts and responses of each


def test_the_batches_of_a_fixed_set_are_others_in_every_round():
    algorithm = algorithms.offline_dpo(fresh=False)
    first = begin(algorithm)

    def after(number, batch_size):
        state = first._replace(number=jnp.uint32(number))
        return np.asarray(step(algorithm, state, batch_size=batch_size)[0].params)

    assert np.abs(after(0, 32) - after(1, 32)).max() > 1e-4
    # In one batch it is the same set: the order of a sum moves it by rounding, which Adam may divide by a small root.
    np.testing.assert_allclose(after(0, 128), after(1, 128), atol=1e-4)


def test_an_update_refuses_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="beta must be positive"):
        algorithms.update(
            algorithms.on_policy_dpo(), MODEL, REFERENCE, TASK, 0.0, KEY, begin(algorithms.on_policy_dpo()), **SIZES
        )


@pytest.mark.slow
def test_training_is_the_scan_of_its_steps(three_rounds):
    states, metrics = three_rounds
    params, history = algorithms.train(
        algorithms.on_policy_dpo(), MODEL, REFERENCE, TASK, EVALUATOR, KEY, num_rounds=3, **SIZES
    )
    np.testing.assert_allclose(params, states[-1].params, atol=1e-6)
    assert history.keys() == metrics[0].keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, [float(m[name]) for m in metrics], rtol=1e-4, err_msg=name)
    assert history["num_labels"].tolist() == [128, 256, 384]
    assert history["num_tokens"].tolist() == [256] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [
        algorithms.on_policy_dpo(oracle="learned"),
        algorithms.hypo(0.1),
        algorithms.reward_distillation(noise=0.5),
        algorithms.hybrid_dpo(num_candidates=3),
    ],
    ids=["dpo", "hypo", "distillation", "hybrid"],
)
def test_a_policy_in_the_bandits_precision_stays_there(algorithm):
    given = (algorithm, MODEL, REFERENCE.astype(float), TASK)
    state = algorithms.init(*given, KEY)
    state, measured = algorithms.step(*given, EVALUATOR, KEY, state, **SIZES)
    assert state.params.dtype == float
    assert {value.dtype.name for value in measured.values()} == {"float64", "int32"}


def test_metrics_of_a_round_are_those_of_what_it_drew():
    drawn = draw(algorithms.reward_distillation(), BEST)
    laws = (BEST, jnp.roll(BEST, 1, axis=1), REFERENCE)
    measured = jax.jit(lambda p: rounds.measure(MODEL, p, drawn, jnp.float32(TASK.beta)))(laws[1])
    before, after, reference = (special.log_softmax(np.asarray(p, float), axis=1) for p in laws)
    prompt = np.asarray(drawn.prompt)
    chosen, rejected = ((prompt, np.asarray(r.tokens)[:, 0]) for r in (drawn.pairs.chosen, drawn.pairs.rejected))
    margin = float(TASK.beta) * ((after - reference)[chosen] - (after - reference)[rejected])
    weight, ratio = (
        np.exp(np.concatenate([(after - law)[side] for side in (chosen, rejected)])) for law in (before, reference)
    )
    expected = {
        "margin": margin.mean(),
        "log_prob_chosen": after[chosen].mean(),
        "log_prob_rejected": after[rejected].mean(),
        "effective_sample_size": weight.mean() ** 2 / (weight * ratio).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-5, err_msg=name)


def test_the_effective_sample_size_is_the_exact_share_where_every_response_is_drawn_once():
    rng = np.random.default_rng(1)
    policy, reference = special.log_softmax(rng.normal(size=(2, 50)), axis=1)
    share = jax.jit(rounds.effective_share)(policy, np.full(50, -math.log(50)), reference)
    np.testing.assert_allclose(1 / share, (np.exp(2 * policy - reference)).sum(), rtol=1e-12)
    kish = jax.jit(rounds.effective_share)(policy, reference, reference)
    w = np.exp(policy - reference)
    np.testing.assert_allclose(kish, w.sum() ** 2 / (50 * (w**2).sum()), rtol=1e-12)
    # Draws in the proportions of another law: the means are then its expectations.
    counts = rng.integers(1, 9, 50)
    drawn = np.repeat(np.arange(50), counts)
    share = jax.jit(rounds.effective_share)(policy[drawn], np.log(counts / counts.sum())[drawn], reference[drawn])
    np.testing.assert_allclose(1 / share, (np.exp(2 * policy - reference)).sum(), rtol=1e-12)


@pytest.mark.parametrize("num_samples", [2, 3])
def test_leave_one_out_draws_have_the_exact_gradient_of_the_divergence_on_average(num_samples):
    logits, reference = jnp.asarray(np.random.default_rng(2).normal(size=(2, 4)))
    tuples = np.array(list(itertools.product(range(4), repeat=num_samples)))
    log_reference = jax.nn.log_softmax(reference)

    def divergence_of(logits):
        log_policy = jax.nn.log_softmax(logits)
        return jnp.sum(jnp.exp(log_policy) * (log_policy - log_reference))

    def expected_surrogate(logits):
        log_policy = jax.nn.log_softmax(logits)
        chances = jax.lax.stop_gradient(jnp.exp(jnp.sum(log_policy[tuples], axis=1)))
        return jnp.sum(chances * divergence.surrogate(log_policy[tuples], log_reference[tuples]))

    exact, average = (jax.jit(jax.grad(f))(logits) for f in (divergence_of, expected_surrogate))
    np.testing.assert_allclose(average, exact, atol=1e-14)
    assert np.abs(exact).max() > 0.1


def test_hypo_without_penalty_is_offline_dpo():
    for fresh in (False, True):
        free, plain = algorithms.hypo(0.0, fresh=fresh), algorithms.offline_dpo(fresh=fresh)
        assert jax.tree.structure(free) == jax.tree.structure(plain)
        equal(free, plain)


def test_the_penalty_of_a_step_is_unbiased_over_its_own_draws():
    algorithm = algorithms.hypo(1.0)

    def exact(params):
        table = jax.nn.log_softmax(params[TASK.prompts.tokens[:, 0]])
        return jnp.sum(jnp.exp(table) * (table - jax.nn.log_softmax(REFERENCE)))

    @jax.jit
    def both(params):
        keys = jax.random.split(KEY, 12000)
        estimates = jax.vmap(lambda key: fitting._kl_gradient(algorithm, MODEL, params, REFERENCE, TASK.prompts, key))(
            keys
        )
        return estimates, jax.grad(exact)(params) / TASK.num_prompts

    estimates, expected = map(np.asarray, both(REFERENCE[:, ::-1]))
    error = estimates.std(axis=0) / math.sqrt(len(estimates))
    assert (np.abs(estimates.mean(axis=0) - expected) < 4 * error).all()
    assert np.abs(expected / error).max() > 80  # 5% of the largest would be seen


@pytest.mark.slow
def test_hypos_penalty_pulls_the_policy_to_the_reference_and_vanishes_at_zero():
    penalised = algorithms.hypo(1.0, num_samples=4)
    free = dataclasses.replace(penalised, penalty=jnp.float32(0))
    heavy = dataclasses.replace(penalised, penalty=jnp.float32(1e4))
    start = begin(penalised, REFERENCE[:, ::-1])
    moved, plain, back = (step(a, start)[0].params for a in (free, algorithms.offline_dpo(fresh=False), heavy))
    # Two programs, so up to rounding; Adam divides it by the root of the gradient's square.
    np.testing.assert_allclose(moved, plain, atol=1e-5)
    law, reference = (special.log_softmax(np.asarray(p, float), axis=-1) for p in ([start.params, back], REFERENCE))
    before, after = (np.exp(law) * (law - reference)).sum(axis=(1, 2))
    assert after < before


@jax.jit
def margins(params, pairs):
    return llm.preference.margins(MODEL, params, pairs, TASK.beta)


def test_the_best_policys_margins_are_the_differences_that_distillation_observes():
    for on_policy in (True, False):
        drawn = draw(algorithms.reward_distillation(on_policy=on_policy), BEST)
        np.testing.assert_allclose(margins(BEST, drawn.pairs), drawn.target, atol=1e-5)
        assert set(np.unique(np.round(np.asarray(drawn.target), 6))) == {0.0, 1.5}


def test_distillation_observes_differences_with_the_noise_it_states():
    drawn = draw(algorithms.reward_distillation(noise=0.7, on_policy=False), REFERENCE)
    chosen, rejected = rewards(drawn)
    error = np.asarray(drawn.target) - (chosen - rejected)
    assert (np.asarray(drawn.target) >= 0).all()
    # The chosen side is the one that looked better: the square of the noise does not know which side it was.
    assert abs((error**2).mean() - 0.49) < 4 * 0.49 * math.sqrt(2 / 4096)


@pytest.mark.slow
@pytest.mark.parametrize("name", algorithms.METHODS)
def test_every_method_lowers_the_gap_of_a_table(name):
    algorithm = algorithms.METHODS[name](**({"penalty": 0.01} if name == "hypo" else {}))
    start = float(llm.exact.measure(EVALUATOR, EVALUATOR.env.log_reference)["gap"])
    _, history = algorithms.train(
        algorithm, MODEL, REFERENCE, TASK, EVALUATOR, KEY, num_rounds=4, **(SIZES | {"num_pairs": 1024})
    )
    assert float(history["gap"][-1]) < 0.5 * start
    assert np.isfinite(np.array([np.asarray(v) for v in history.values()])).all()
