"""The named scenarios of partial coverage, and the support mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_environment

import banditlab as bl
from banditlab import law_checks, scenarios

ALL = [
    scenarios.rare_good(),
    scenarios.rare_bad(),
    scenarios.hard_missing(),
    scenarios.linear_identified(),
    scenarios.linear_unidentified(),
    scenarios.loser_heavy_reference(),
    scenarios.many_contexts_one_uncovered(),
]


@pytest.mark.parametrize("scenario", ALL)
def test_labels_are_pairs_of_the_reference_given_the_seen_actions(scenario):
    env, law = scenario.env, np.asarray(scenario.pair_law)
    seen = np.asarray(scenario.seen)
    reference = np.where(seen, np.exp(np.asarray(env.log_reference)), 0.0)
    labelled = seen.any(axis=1)
    assert law.sum() == pytest.approx(float(env.context_probs[labelled].sum()), abs=1e-14)
    assert (law[~(seen[:, :, None] & seen[:, None, :])] == 0).all()
    for x in np.flatnonzero(labelled):
        given = reference[x] / reference[x].sum()
        np.testing.assert_allclose(law[x].sum(axis=1), float(env.context_probs[x]) * given, atol=1e-15)
    law_checks.partial_law("pair_law", law)


def test_each_scenario_is_what_its_name_says():
    good, bad = scenarios.rare_good(0.02, 3.0).env, scenarios.rare_bad(0.02, -3.0).env
    for env, best in ((good, jnp.argmax), (bad, jnp.argmin)):
        assert int(best(env.reward[0])) == env.num_actions - 1
        assert float(jnp.exp(env.log_reference[0, -1])) == pytest.approx(0.02)
    heavy = scenarios.loser_heavy_reference()
    assert int(jnp.argmax(heavy.env.log_reference[0])) == int(jnp.argmin(heavy.env.reward[0])) == 0
    np.testing.assert_array_equal(heavy.seen[0], [True] * 4 + [False])
    identified, not_identified = scenarios.linear_identified(), scenarios.linear_unidentified()
    for scenario, rank in ((identified, 2), (not_identified, 1)):
        features = np.asarray(scenario.env.features[0])[np.asarray(scenario.seen[0])]
        assert np.linalg.matrix_rank(features - features[0]) == rank
        assert int(jnp.argmax(scenario.env.reward[0])) == 3
    assert not scenarios.many_contexts_one_uncovered(5).seen[-1].any()


def test_a_class_that_leaves_the_support_has_an_infinite_gap_and_the_restricted_one_has_not():
    env, seen, _ = scenarios.hard_missing(num_actions=4, num_missing=2)
    everywhere = jnp.zeros(env.num_features)
    assert bl.metrics.gap(env, env.log_policy(everywhere)) == np.inf
    cut = scenarios.restrict(env, seen)
    policy = cut.log_policy(everywhere)
    assert np.isneginf(np.asarray(policy[0, 2:])).all()
    assert np.isfinite(float(bl.metrics.gap(cut, policy)))
    np.testing.assert_allclose(cut.log_target, env.log_target, atol=1e-15)


def test_restricting_conditions_the_reference_and_leaves_a_linear_softmax_around_it():
    env = random_environment(1)
    support = np.array([[True, True, False, True], [True, True, True, True], [False, True, True, False]])
    cut = scenarios.restrict(env, support)
    policy, whole = (np.exp(np.asarray(each.log_policy(env.target_params))) for each in (cut, env))
    kept = np.where(support, whole, 0.0)
    np.testing.assert_allclose(policy, kept / kept.sum(axis=1, keepdims=True), atol=1e-15)
    np.testing.assert_allclose(cut.log_base, cut.log_reference, atol=1e-15)
    np.testing.assert_allclose(jax.nn.logsumexp(cut.log_reference, axis=1), 0.0, atol=1e-15)
    np.testing.assert_allclose(scenarios.restrict(env, np.ones((3, 4), bool)).log_base, env.log_base, atol=1e-15)


def test_one_sided_labels_have_one_winner():
    env, wins = scenarios.one_sided(4, num_wins=3.0)
    np.testing.assert_array_equal(np.asarray(wins[0]).sum(axis=1), [9, 0, 0, 0])
    assert int(jnp.argmax(env.reward[0])) == 0


def test_bad_input_is_named():
    env = random_environment(1)
    everything = np.ones((3, 4), bool)
    empty = everything.copy()
    empty[2] = False
    missing = scenarios.hard_missing()
    for call, message in (
        (lambda: scenarios.restrict(env, empty), "support must keep an action in every context; got none in context 2"),
        (lambda: scenarios.restrict(env, everything[:2]), r"support must be \(3, 4\); got \(2, 4\)"),
        (lambda: scenarios.restrict(env, everything * 1.0), "support must be boolean; got float64"),
        (
            lambda: scenarios.restrict(missing.env, ~np.asarray(missing.seen)),
            "support must keep an action of the reference in every context; got none in context 0",
        ),
        (
            lambda: scenarios.restrict(scenarios.restrict(missing.env, missing.seen), ~np.asarray(missing.seen)),
            "support must keep an action of the class in every context; got none in context 0",
        ),
        (lambda: scenarios.labelled(env, ~everything), "seen must hold an action that the reference plays; got none"),
        (lambda: scenarios.rare_good(1.0), "rare_mass must be below 1; got 1.0"),
        (lambda: scenarios.rare_good(0.1, 0.2), "rare_reward must be above 0.5 for rare_good; got 0.2"),
        (lambda: scenarios.rare_bad(0.1, 0.2), "rare_reward must be below 0 for rare_bad; got 0.2"),
        (lambda: scenarios.hard_missing(3, 3), "num_missing must be below num_actions = 3; got 3"),
        (lambda: scenarios.loser_heavy_reference(0.9, unseen_mass=0.2), r"loser_mass \+ unseen_mass must be below 1"),
        (lambda: scenarios.many_contexts_one_uncovered(1), "num_contexts and num_actions must be at least 2"),
        (lambda: scenarios.one_sided(1), "num_actions must be at least 2; got 1"),
        (lambda: scenarios.linear_identified(np.inf), "strength must be finite; got inf"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
