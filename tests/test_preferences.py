"""Labellers, outcome laws and win matrices: laws by brute force, totals by hypothesis, errors by name."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from random_environments import random_environment, random_pair_law

import banditlab as bl
from banditlab import preferences

ENV = random_environment(11, (2, 3, 2))
PAIR_LAW = jnp.asarray(random_pair_law(11, (2, 3)))
INTRANSITIVE = np.broadcast_to([[0.0, 0.9, 0.2], [0.1, 0.0, 0.7], [0.8, 0.1, 0.0]], (2, 3, 3))


def gaps():
    reward = np.asarray(ENV.reward)
    return reward[:, :, None] - reward[:, None, :]


BRADLEY_TERRY = scipy.special.expit(gaps())
LABELLERS = {
    "bradley_terry": (preferences.bradley_terry, BRADLEY_TERRY),
    "temperature": (preferences.temperature(0.25), scipy.special.expit(4 * gaps())),
    "deterministic": (preferences.deterministic, (np.sign(gaps()) + 1) / 2),
    "flipped": (preferences.flipped(0.1), 0.9 * BRADLEY_TERRY + 0.1 * (1 - BRADLEY_TERRY)),
    "flipped deterministic": (preferences.flipped(0.3, preferences.deterministic), 0.5 + 0.2 * np.sign(gaps())),
    "from_table": (preferences.from_table(INTRANSITIVE), INTRANSITIVE),
}


# A concrete number of pairs chooses its branch (100: label by label); a traced one uses conditional binomials.
draw_hundred = jax.jit(lambda key, law: preferences.draw_counts(key, law, 100))
draw_binomials = jax.jit(preferences.draw_counts)


def draw(key, law, num_pairs, direct=False):
    return draw_hundred(key, law) if direct else draw_binomials(key, law, float(num_pairs))


@pytest.mark.parametrize("name", LABELLERS)
def test_outcome_law_sums_both_orders_of_presentation(name):
    labeller, win_probs = LABELLERS[name]
    law = np.asarray(preferences.outcome_law(ENV, PAIR_LAW, labeller))
    expected = np.zeros((2, 3, 3))
    for x, first, second in itertools.product(range(2), range(3), range(3)):
        mass = float(PAIR_LAW[x, first, second])
        if first == second:
            expected[x, first, first] += mass  # a self-pair is drawn and costs a label
        else:
            expected[x, first, second] += mass * win_probs[x, first, second]
            expected[x, second, first] += mass * win_probs[x, second, first]
    np.testing.assert_allclose(law, expected, rtol=1e-14, atol=1e-17)
    dropped = 1 - expected.sum()
    assert dropped > 0.01 if name == "from_table" else abs(dropped) < 1e-14


def test_equal_rewards_are_a_fair_coin_for_every_labeller():
    env = bl.instances.chain(target=0.0)
    for labeller in (preferences.bradley_terry, preferences.temperature(1e-3), preferences.deterministic):
        np.testing.assert_array_equal(labeller(env), 0.5)


def test_temperature_one_is_bradley_terry_and_zero_is_its_limit():
    np.testing.assert_array_equal(preferences.temperature(1.0)(ENV), preferences.bradley_terry(ENV))
    np.testing.assert_allclose(preferences.temperature(1e-6)(ENV), preferences.deterministic(ENV), atol=1e-12)
    np.testing.assert_allclose(preferences.temperature(1e9)(ENV), 0.5, atol=1e-8)


def test_infinitely_many_pairs_are_the_law_itself():
    law = preferences.outcome_law(ENV, PAIR_LAW)
    assert preferences.draw_counts(jax.random.key(0), law, np.inf) is law


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.sampled_from([1, 7, 100, 4097, 10**6, 10**12]), st.booleans())
def test_counts_are_whole_and_add_up_to_the_number_of_pairs(seed, num_pairs, direct):
    key = jax.random.key(seed)
    num_pairs = 100 if direct else num_pairs
    wins = np.asarray(draw(key, preferences.outcome_law(ENV, PAIR_LAW), num_pairs, direct))
    assert wins.shape == (2, 3, 3)
    assert np.all(wins >= 0)
    np.testing.assert_array_equal(wins, np.round(wins))
    assert wins.sum() == num_pairs


@pytest.mark.parametrize("direct", [True, False])
def test_dropped_pairs_cost_a_label_and_leave_no_trace(direct):
    law = preferences.outcome_law(ENV, PAIR_LAW, preferences.from_table(INTRANSITIVE))
    keys = jax.random.split(jax.random.key(1), 400)
    totals = np.array([draw(key, law, 100, direct).sum() for key in keys])
    kept = float(law.sum())
    assert np.all(totals <= 100)
    error = np.sqrt(100 * kept * (1 - kept) / len(keys))
    assert abs(totals.mean() - 100 * kept) < 4 * error


@pytest.mark.parametrize("direct", [True, False])
def test_counts_follow_the_outcome_law(direct):
    law = preferences.outcome_law(ENV, PAIR_LAW)
    keys = jax.random.split(jax.random.key(2), 300)
    total = sum(np.asarray(draw(key, law, 100, direct)) for key in keys)
    statistic = scipy.stats.chisquare(total.ravel(), np.ravel(law) * 100 * len(keys))
    assert statistic.pvalue > 6e-5  # as rare as four standard errors


def test_the_same_key_draws_the_same_labels_and_another_draws_others():
    law = preferences.outcome_law(ENV, PAIR_LAW)
    for direct in (True, False):
        draws = [np.asarray(draw(jax.random.key(k), law, 100, direct)) for k in (0, 0, 1)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert (draws[0] != draws[2]).any()


def test_drawing_wins_is_drawing_counts_of_the_outcome_law():
    law = preferences.outcome_law(ENV, PAIR_LAW, preferences.deterministic)
    wins = preferences.draw_wins(jax.random.key(3), ENV, PAIR_LAW, 100, preferences.deterministic)
    np.testing.assert_array_equal(wins, draw(jax.random.key(3), law, 100, direct=True))
    assert np.all(wins[law == 0] == 0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)), max_size=60))
def test_win_matrix_counts_the_users_comparisons(rows):
    context, chosen, rejected = np.array(rows, dtype=int).reshape(-1, 3).T
    wins = np.asarray(preferences.wins_from_comparisons(context, chosen, rejected, shape=(2, 3)))
    assert wins.shape == (2, 3, 3)
    for cell in itertools.product(range(2), range(3), range(3)):
        assert wins[cell] == rows.count(cell)


def test_a_labeller_is_a_pytree_whose_numbers_do_not_recompile():
    traces = []

    @jax.jit
    def law(labeller):
        traces.append(1)
        return preferences.outcome_law(ENV, PAIR_LAW, labeller)

    values = [law(preferences.temperature(value)) for value in (0.5, 1.0, 2.0)]
    assert len(traces) == 1
    assert not np.array_equal(values[0], values[2])


def comparisons(**changes):
    arguments = {"context": [0, 1], "chosen": [1, 2], "rejected": [2, 0], "shape": (2, 3)} | changes
    return preferences.wins_from_comparisons(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preferences.temperature(0.0), r"value must be positive and finite; got 0"),
        (lambda: preferences.temperature(np.nan), r"value must be positive and finite; got nan"),
        (lambda: preferences.flipped(1.5), r"rate must be at most 1; got 1.5"),
        (lambda: preferences.flipped(-0.1), r"rate must be non-negative.*got -0.1"),
        (lambda: preferences.from_table(np.full((2, 3), 0.5)), r"win_probs must be \(num_contexts.*got \(2, 3\)"),
        (lambda: preferences.from_table(np.full((2, 3, 3), 0.6)), r"win_probs must .*P_ij \+ P_ji <= 1"),
        (lambda: preferences.from_table(-INTRANSITIVE), r"win_probs must be >= 0"),
        (lambda: preferences.from_table(np.full((2, 3, 3), np.nan)), r"win_probs must hold no nan; got nan"),
        (
            lambda: preferences.outcome_law(ENV, PAIR_LAW, preferences.from_table(INTRANSITIVE[:1])),
            r"win_probs must be \(2, 3, 3\); got \(1, 3, 3\)",
        ),
        (lambda: preferences.outcome_law(ENV, PAIR_LAW[:1]), r"pair_law must be \(2, 3, 3\); got \(1, 3, 3\)"),
        (lambda: preferences.outcome_law(ENV, -PAIR_LAW), r"pair_law must be non-negative"),
        (lambda: preferences.outcome_law(ENV, 2 * PAIR_LAW), r"pair_law must sum to 1; got a sum of 2"),
        (lambda: preferences.outcome_law(ENV, PAIR_LAW * np.nan), r"pair_law must be finite; got nan"),
        (lambda: preferences.draw_wins(jax.random.key(0), ENV, PAIR_LAW, 0), r"num_pairs must .*at least 1.*got 0"),
        (lambda: preferences.draw_wins(jax.random.key(0), ENV, PAIR_LAW, 1.5), r"num_pairs must .*whole.*got 1.5"),
        (lambda: preferences.draw_wins(jax.random.key(0), ENV, PAIR_LAW, np.nan), r"num_pairs must .*got nan"),
        (lambda: preferences.draw_wins(jax.random.key(0), ENV, PAIR_LAW, 2.0**60), r"num_pairs must be at most 2\^53"),
        (lambda: comparisons(context=[0, 2]), r"context must lie in 0..1; got values from 0 to 2"),
        (lambda: comparisons(chosen=[0, -1]), r"chosen must lie in 0..2; got values from -1 to 0"),
        (lambda: comparisons(rejected=[0.0, 1.0]), r"rejected must be .*integers; got .*float64"),
        (lambda: comparisons(rejected=[[0, 1]]), r"rejected must be \(num_comparisons,\)"),
        (lambda: comparisons(rejected=[0]), r"same length; got context 2, chosen 2, rejected 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
