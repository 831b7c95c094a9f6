"""Components of the graphs of compared actions, and what sums over their nodes must not make of rounding."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csgraph

import banditlab as bl
from banditlab.estimators import existence, objective
from banditlab.numerics import graphs


@pytest.mark.parametrize("chance", [0.0, 0.02, 0.05, 0.3])
@pytest.mark.parametrize("actions", [1, 2, 7, 40])
def test_components_are_those_of_scipy(actions, chance):
    edges = np.random.default_rng(actions).random((5, actions, actions)) < chance
    found = np.asarray(graphs.components(jnp.asarray(edges)))
    for labels, table in zip(found, edges, strict=True):
        _, wanted = csgraph.connected_components(table, directed=False)
        first = {label: place for place, label in reversed(list(enumerate(wanted)))}
        assert labels.tolist() == [first[label] for label in wanted]


def test_a_path_of_two_hundred_actions_is_one_component():
    edges = np.zeros((1, 200, 200), bool)
    order = np.random.default_rng(0).permutation(200)
    edges[0, order[:-1], order[1:]] = True
    assert not np.asarray(graphs.components(jnp.asarray(edges))).any()


def grouped(shape, seed):
    """Features of which the third tells two groups, and labels within the groups alone, which do not show it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(*shape, 3))
    group = np.arange(shape[1]) >= shape[1] // 3
    features[..., 2] = group * 10.0 ** rng.uniform(-2, 4)
    wins = rng.poisson(2, (*shape, shape[1])) * (group[:, None] == group) * (1 - np.eye(shape[1]))
    return features, wins


@pytest.mark.parametrize("shape", [(1, 40), (1, 50), (4, 30), (2, 40)])
def test_nothing_is_proved_of_a_direction_that_no_label_shows(shape):
    """Beyond `PAIR_FORM_LIMIT` the sums of I7 left a curvature of rounding there, which was called an optimum."""
    for seed in range(10):
        features, wins = grouped(shape, seed)
        env = bl.Environment.create(features, target_params=[0.3, -0.2, 0.0])
        fit = bl.estimators.fit(env, wins)
        assert fit.existence != bl.Existence.exists
        assert fit.params[2] == 0
        assert np.isinf(bl.estimators.proximity(env, wins, fit.params))
        found = bl.estimators.regression.least_squares(env, wins, jnp.zeros(wins.shape), jnp.ones(3))
        assert not found.spans
        assert found.params[2] == 1


def test_a_curvature_of_rounding_proves_nothing_by_itself():
    """As `build` would have it with features centred in a context: sums over nodes leave rounding for zero."""
    proved = 0
    for seed in range(10):
        features, wins = grouped((1, 50), seed)
        centred = jnp.asarray(features - features.mean(axis=1, keepdims=True))
        made = objective.LaplacianForm(centred, jnp.zeros((1, 50)), jnp.asarray(wins), None)
        fit = bl.estimators.fit(bl.Environment.create(features, target_params=[0.3, -0.2, 0.0]), wins)
        gradient, hessian = made.derivatives(bl.losses.dpo, made.margins(fit.params))
        found = existence.certify(made, bl.losses.dpo, fit.params, gradient, hessian)
        proved += int(found) == int(bl.Existence.exists)
        assert hessian[2, 2] <= 1e-12 * made.sizes(bl.losses.dpo, made.margins(fit.params), hessian)[2]
    assert proved == 0


def test_a_fit_beyond_the_limit_of_pairs_is_stationary_and_leaves_what_was_never_compared_alone():
    env = bl.Environment.create(np.eye(50)[None, :, 1:], target_params=np.zeros(49))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        wins = rng.poisson(3, (1, 50, 50)) * (1 - np.eye(50))
        never = rng.choice(np.arange(1, 50), 3, replace=False)
        wins[:, never], wins[:, :, never] = 0, 0
        fit = bl.estimators.fit(env, wins)
        assert fit.status == bl.Status.converged
        assert (np.asarray(fit.params)[never - 1] == 0).all()
        values = np.append(0.0, fit.params)
        chance = 1 / (1 + np.exp(values[None, :] - values[:, None]))
        slope = (wins[0] * (1 - chance) - wins[0].T * chance).sum(axis=1)
        np.testing.assert_allclose(slope, 0, atol=1e-8)


def test_a_long_staircase_is_simulated_without_a_lane_that_is_not_finite():
    env = bl.instances.staircase(num_stairs=45, step=0.5, start=3.0)
    run = bl.simulate(bl.algorithms.on_policy_dpo(2000), env, num_rounds=3, num_seeds=8)
    assert run.failures["nonfinite"] == 0


@pytest.mark.parametrize("size", [0.1, 1e4, 1.7e6, 3.1e6])
def test_a_direction_that_a_law_never_shows_has_an_infinite_price_at_any_size(size):
    features = np.zeros((1, 6, 2))
    features[0, :, 0] = np.random.default_rng(0).normal(size=6)
    features[0, 3:, 1] = size
    env = bl.Environment.create(features, target_params=[0.3, 0.2 / size])
    law = np.zeros((1, 6, 6))
    law[0, :3, :3] = law[0, 3:, 3:] = 1 / 18
    information = 100 * bl.theory.fisher_information(env, law)
    assert np.isinf(bl.theory.label_price(env, law))
    assert np.isinf(bl.theory.leverage(env, law))
    assert np.isinf(bl.theory.predicted_kl_pooled(env, information))
    assert np.isinf(bl.planner.labels_needed(env, information, law, 0.01))


def test_features_that_are_constant_where_a_policy_plays_have_no_covariance():
    env = bl.Environment.create([[[0.0, 0.1], [1.0, 0.1], [0.5, 2.0]]], target_params=[0.1, 0.1])
    log_policy = np.asarray([[np.log(0.3), np.log(0.7), -np.inf]])
    assert bl.policies.feature_covariance(env, log_policy)[1].tolist() == [0, 0]
    assert np.isinf(bl.coverage.operator(env, log_policy))
