"""The predictions of the didactic experiments on sampling, their schedules and tuning, and errors planted in them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import committed, failing

from banditlab.didactic import losses, policies
from banditlab.didactic import problem as problems
from banditlab.didactic.settings import Settings
from banditlab.exact import best_of_n, first_step
from experiments.didactic import neural_headline, on_policyness
from experiments.didactic.on_policyness import BUDGETS, COMPUTE, QUERIES, STEPS, schedule
from experiments.didactic.shared import tuned_tables, tuned_training

# Two equal rewards; no pair of draws is alike.
REWARD = np.array([0.1, 0.9, 0.4, 0.9])
REFERENCE = np.array([0.4, 0.1, 0.3, 0.2])


def enumerated(loss, num_samples: int, rate: float) -> tuple[float, float]:
    """Mean and deviation of E_pi R after Adam's first step, over all draws of one state, by autodiff of the loss."""
    draws = np.array(list(itertools.product(range(4), repeat=num_samples)))
    start = jnp.log(REFERENCE)

    def after(actions):
        def value(logits):
            log_probs = jax.nn.log_softmax(logits)[actions][None]
            fixed = start[actions][None]
            return loss(log_probs, fixed, jnp.asarray(REWARD)[actions][None], fixed, Settings())

        gradient = jax.grad(value)(start)
        return jax.nn.softmax(start - rate * gradient / (jnp.abs(gradient) + 1e-8)) @ REWARD

    values, law = np.asarray(jax.jit(jax.vmap(after))(draws)), REFERENCE[draws].prod(axis=1)
    mean = law @ values
    return mean, np.sqrt(law @ (values - mean) ** 2)


@pytest.mark.parametrize("name", ["reinforce", "ppo"])
def test_the_first_step_on_two_draws_is_the_enumerated_one(name):
    wanted = enumerated(losses.ALGORITHMS[name].loss, 2, 1.5)
    np.testing.assert_allclose(first_step.pairwise(REWARD, REFERENCE, 1.5), wanted, rtol=1e-7)


def test_the_first_step_of_a_loss_of_pairs_is_as_long_whatever_the_rewards():
    wanted = enumerated(losses.ipo, 2, 1.5)  # of slope 2 at margin 0 for target 1
    np.testing.assert_allclose(first_step.pairwise(REWARD, REFERENCE, 1.5, scale=2.0), wanted, rtol=1e-7)


def test_the_first_step_of_best_of_n_is_the_enumerated_one():
    wanted = enumerated(losses.best_of_n, 3, 1.5)
    np.testing.assert_allclose(first_step.best_of_n(REWARD, REFERENCE, 1.5, 3), wanted, rtol=1e-6)


def test_the_law_of_the_maximum_is_a_count_of_draws():
    law = np.zeros(4)
    for draws in itertools.product(range(4), repeat=3):
        law[draws[int(np.argmax(REWARD[list(draws)]))]] += REFERENCE[list(draws)].prod()
    np.testing.assert_allclose(best_of_n.law(REWARD, REFERENCE, 3), law, rtol=1e-12)


def test_the_dual_frontier_touches_the_tilted_policies_and_nothing_passes_it():
    bandits = tuned_training.bandits()
    tilts = np.geomspace(0.03, 3.0, 5)
    logs = np.asarray(bandits.log_reference)[:, None] + np.asarray(bandits.reward)[:, None] / tilts[:, None]
    logs = np.concatenate([logs, np.random.default_rng(0).normal(0, 3, (2, 20, 100))], axis=1)
    logs -= np.logaddexp.reduce(logs, axis=-1, keepdims=True)
    reward = np.einsum("kca,ka->kc", np.exp(logs), np.asarray(bandits.reward))
    divergence = (np.exp(logs) * (logs - np.asarray(bandits.log_reference)[:, None])).sum(axis=-1)
    excess = tuned_training.frontier_excess(reward, divergence)
    # Between two prices of the grid, 2.3% apart, the envelope is loose by their distance squared.
    np.testing.assert_allclose(excess[:, :5], 0.0, atol=1e-3)
    assert (excess < 1e-14).all()
    assert (excess[:, 5:] < -0.05).all()


def test_the_stated_values_are_those_of_the_problem():
    exact = tuned_tables.exact(10)
    for place, (reference, best) in enumerate(tuned_tables.STATED.values()):
        bandit = problems.problem(list(tuned_training.PEAKS.values())[place])
        assert exact["best_of_n"][place] == pytest.approx(float(problems.best_of_n(bandit, 10)), rel=1e-12)
        assert (round(exact["reference_reward"][place], 4), round(exact["best_of_n"][place], 4)) == (reference, best)


def test_every_budget_keeps_what_it_says_and_they_meet_at_the_freshest():
    config = on_policyness.EXPERIMENT.presets["paper"]
    most = max(config.collections)
    for collections in config.collections:
        plans = {budget: schedule(config, budget, collections) for budget in BUDGETS}
        batches = {budget: plan["num_steps"] // plan["reuse"] for budget, plan in plans.items()}
        for budget, plan in plans.items():
            assert batches[budget] * plan["reuse"] == plan["num_steps"]
            assert batches[budget] == collections * plan["refresh"]
        assert batches[QUERIES] == plans[STEPS]["num_steps"] == most
        compute = COMPUTE
        assert config.draw_price * batches[compute] + plans[compute]["num_steps"] == (1 + config.draw_price) * most
    assert len({tuple(plan.items()) for plan in plans.values()}) == 1


def test_rates_are_tuned_on_seeds_that_are_not_measured(monkeypatch):
    roots = []

    def fake(algorithm, policy, problem, *, seeds, seed, settings, record_at, **options):
        roots.append(seed)
        rates = np.broadcast_to(settings.learning_rate, (len(problem.reward),))
        reward = np.stack([np.zeros((len(rates), seeds)), np.broadcast_to(rates, (seeds, len(rates))).T], axis=-1)
        reward[len(rates) // 2 :] *= -1  # on R2 the smallest rate is best
        return {"reward": reward, "kl_reference": reward, "status": np.zeros((len(rates), seeds), int)}

    monkeypatch.setattr(tuned_training.training, "train_grid", fake)
    study = tuned_training.Study(policies.tabular(), (0.1, 0.3, 1.0), Settings(), 10, 4, 2, 5)
    found = tuned_training.tuned(study, "ipo", num_steps=3)
    np.testing.assert_array_equal(found["rate"], [1.0, 0.1])
    np.testing.assert_allclose(found["held_out"].mean(axis=2), [[0.1, 0.3, 1.0], [-0.1, -0.3, -1.0]])
    assert found["reward"].shape == (2, 10)
    assert len(set(roots)) == len(roots) == 4


def test_swapped_bandits_break_the_orderings_of_on_policyness():
    table = committed("on_policyness")["runs"]
    broken = failing("on_policyness", "runs", bandit=np.where(table["bandit"] == "R1", "R2", "R1"))
    assert sum("gain of the freshest samples on R1 less that on R2" in claim for claim in broken) == 2
    broken = failing("on_policyness", "runs", gain=-table["gain"])
    assert sum("gain of the freshest" in claim for claim in broken) == 5
    loud = failing("on_policyness", "runs", above_frontier=table["above_frontier"] + 1, failed=table["failed"] + 1)
    assert len(loud) == 2


def test_a_five_percent_error_in_the_single_step_is_seen():
    parts = committed("sample_reuse")
    for factor in (0.95, 1.05):
        broken = failing("sample_reuse", "first_step", predicted=factor * parts["first_step"]["predicted"])
        assert sum("enumerated" in claim for claim in broken) == len(broken) == 2
    assert len(failing("sample_reuse", "runs", loss=0 * parts["runs"]["loss"])) >= 4


def test_equal_learners_break_every_ordering_of_the_headline():
    table = committed("neural_headline")["runs"]
    zero = 0 * table["reward"]
    assert len(failing("neural_headline", "runs", over_offline_ipo=zero, reward=zero)) == 2 * 5
    assert set(zip(table["algorithm"], table["sampling"], strict=True)) == set(neural_headline.Config().arms)
