"""The environment's door: every bad argument is named; and the named instances are what they claim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_environment

import banditlab as bl
from banditlab import coverage, theory

GOOD = {
    "features": [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]],
    "target_params": [1.0, -1.0],
    "log_reference": np.log([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]),
    "context_probs": [0.4, 0.6],
}
NAN, INF = np.nan, np.inf


def create(**changes):
    arguments = {k: v for k, v in (GOOD | changes).items() if not isinstance(v, str) or v != "absent"}
    return bl.Environment.create(arguments.pop("features"), **arguments)


def poisoned(name, value):
    array = np.array(GOOD[name], float)
    array.flat[-1] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.ones((3, 2))}, r"features must be \(num_contexts, num_actions, num_features\); got \(3, 2\)"),
        ({"features": np.ones((0, 3, 2))}, r"features must not be empty; got \(0, 3, 2\)"),
        ({"features": np.ones((2, 3, 0))}, r"features must not be empty; got \(2, 3, 0\)"),
        ({"features": "words"}, r"features must be an array of numbers; got str"),
        ({"features": [[[0.0], [1.0, 2.0]]]}, r"features must be an array of numbers; got list"),
        (poisoned("features", NAN), r"features must be finite; got nan at index \(1, 2, 1\)"),
        (poisoned("features", INF), r"features must be finite; got inf"),
        ({"features": np.ones((2, 3, 2))}, r"features must be identified.*all 2 dimensions; they span 0"),
        ({"features": np.array(GOOD["features"]) * [1, 0]}, r"features must be identified.*they span 1"),
        ({"target_params": [1.0]}, r"target_params must be \(2,\); got \(1,\)"),
        (poisoned("target_params", NAN), r"target_params must be finite; got nan"),
        ({"reward": np.zeros((2, 3))}, r"exactly one of target_params and reward must be given; got both"),
        ({"target_params": None}, r"exactly one of target_params and reward must be given; got neither"),
        ({"target_params": None, "reward": np.zeros((3, 2))}, r"reward must be \(2, 3\); got \(3, 2\)"),
        ({"target_params": None, "reward": np.full((2, 3), -INF)}, r"reward must be finite; got -inf"),
        ({"log_reference": np.zeros(3)}, r"log_reference must be \(2, 3\); got \(3,\)"),
        ({"log_reference": np.zeros((2, 3))}, r"log_reference must .*sum to 1.*got a sum of 3"),
        ({"log_reference": [[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]}, r"log_reference must hold log-probabilities"),
        ({"log_reference": np.full((2, 3), -INF)}, r"log_reference must .*sum to 1.*got a sum of 0"),
        ({"log_reference": np.full((2, 3), 1e5)}, r"log_reference must .*sum to 1.*got a sum of inf"),
        (poisoned("log_reference", NAN), r"log_reference must be finite or -inf; got nan"),
        (poisoned("log_reference", INF), r"log_reference must be finite or -inf; got inf"),
        ({"log_base": np.zeros((2, 2))}, r"log_base must be \(2, 3\); got \(2, 2\)"),
        ({"log_base": [[0, 0, 0], [-INF, -INF, -INF]]}, r"log_base must leave an action .*none in context 1"),
        ({"context_probs": [0.4, 0.4]}, r"context_probs must sum to 1; got a sum of 0.8"),
        ({"context_probs": [1.4, -0.4]}, r"context_probs must be non-negative; got -0.4"),
        ({"context_probs": [1.0]}, r"context_probs must be \(2,\); got \(1,\)"),
        ({"context_probs": [NAN, 1.0]}, r"context_probs must be finite; got nan"),
        ({"beta": 0.0}, r"beta must be positive and finite; got 0.0"),
        ({"beta": -1.0}, r"beta must be positive and finite; got -1.0"),
        ({"beta": NAN}, r"beta must be positive and finite; got nan"),
        ({"beta": INF}, r"beta must be positive and finite; got inf"),
        ({"beta": "hot"}, r"beta must be a number; got 'hot'"),
        ({"beta": [1.0, 2.0]}, r"beta must be a number; got \[1.0, 2.0\]"),
        ({"initial_params": [0.0, 0.0, 0.0]}, r"initial_params must be \(2,\); got \(3,\)"),
        ({"initial_params": [0.0, -INF]}, r"initial_params must be finite; got -inf at index \(1,\)"),
        ({"context_inputs": np.zeros((3, 5))}, r"context_inputs must be \(2, num_inputs\); got \(3, 5\)"),
        ({"unidentified": "maybe"}, r"unidentified must be 'raise' or 'allow'; got 'maybe'"),
    ],
)
def test_bad_input_names_the_argument_what_was_wanted_and_what_came(changes, message):
    with pytest.raises(ValueError, match=message):
        create(**changes)


def test_a_direction_seen_only_in_an_impossible_context_or_off_the_support_is_not_identified():
    only_second = {"features": [[[0, 0], [1, 0], [2, 0]], [[0, 0], [0, 1], [1, 1]]]}
    assert create(**only_second).rank == 2
    with pytest.raises(ValueError, match="they span 1"):
        create(**only_second, context_probs=[1.0, 0.0])
    blind = np.log([[0.5, 0.5, 1e-300], [0.5, 0.5, 1e-300]])
    features = [[[0, 0], [1, 0], [0, 1]]] * 2
    assert create(features=features, log_reference=blind).rank == 2
    blind[:, 2] = -INF
    with pytest.raises(ValueError, match="they span 1"):
        create(features=features, log_reference=blind)
    # The class may still reach the unseen action: its basis is that of the class, not of the reference.
    free = create(features=features, log_reference=blind, log_base=np.zeros((2, 3)), unidentified="allow")
    assert free.rank == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bl.instances.staircase(0), r"num_stairs must be a whole number of at least 1; got 0"),
        (lambda: bl.instances.staircase(2.5), r"num_stairs must be a whole number of at least 1; got 2.5"),
        (lambda: bl.instances.staircase(step=INF), r"must be finite; got inf"),
        (lambda: bl.instances.needle(4, 0.0), r"rare_mass must be positive and finite; got 0"),
        (lambda: bl.instances.needle(4, 1.0), r"rare_mass must be below 1; got 1"),
        (lambda: bl.instances.partial_coverage(1), r"num_actions must be at least 2; got 1"),
        (lambda: bl.instances.partial_coverage(4, 1.5), r"covered_mass must be at most 1; got 1.5"),
        (lambda: bl.instances.partial_coverage(4, NAN), r"covered_mass must be positive and finite; got nan"),
        (lambda: bl.instances.random_features(0), r"num_contexts must be a whole number of at least 1; got 0"),
        (lambda: bl.instances.tabular(np.zeros(3)), r"reward must be \(num_contexts, num_actions\); got \(3,\)"),
        (lambda: create().replace(beta=0.0), r"beta must be positive and finite; got 0"),
        (lambda: create().replace(gamma=1.0), r"got \['gamma'\]"),
        (lambda: create().replace(difference_basis=np.eye(2)), r"got \['difference_basis'\]"),
        (lambda: coverage.kl_ball(create(), -1.0), r"radius must be non-negative; got -1"),
        (lambda: coverage.kl_ball(create(), NAN), r"radius must be non-negative; got nan"),
        (lambda: coverage.operator(create(), jnp.zeros((1, 3))), r"log_policy must be \(2, 3\); got \(1, 3\)"),
        (lambda: theory.label_price(create(), jnp.ones((1, 3, 3))), r"pair_law must be \(2, 3, 3\); got \(1, 3, 3\)"),
        (lambda: theory.labels_needed(create(), jnp.ones((2, 3, 3)) / 18, 0.0), r"kl must be positive"),
        (lambda: theory.offline_lower_bound(create(), 100, 0.0), r"radius must be positive and finite; got 0"),
        (lambda: theory.offline_lower_bound(create(), NAN, 1.0), r"num_pairs must be .*; got nan"),
        (lambda: theory.predicted_kl(create(), jnp.ones((2, 3, 3)) / 18, 0), r"num_pairs must be .*; got 0"),
        (lambda: bl.metrics.measure(create(), create().log_target, ("regret",)), r"names must be among.*'regret'"),
    ],
)
def test_bad_input_elsewhere_in_the_core_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_defaults_are_a_uniform_reference_and_uniform_contexts():
    env = create(log_reference=None, context_probs=None)
    np.testing.assert_allclose(np.exp(env.log_reference), 1 / 3, rtol=1e-15)
    np.testing.assert_allclose(env.context_probs, 0.5)
    np.testing.assert_array_equal(env.log_initial, env.log_reference)
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(env))


def test_replace_changes_what_it_is_told_and_reads_the_reward_again():
    env = random_environment(1)
    colder = env.replace(beta=0.1)
    np.testing.assert_allclose(colder.reward, env.reward * 0.1 / env.beta, rtol=1e-14)
    np.testing.assert_allclose(colder.log_target, env.log_target, atol=1e-14)
    fixed = env.replace(reward=env.reward)
    assert fixed.target_params is None
    np.testing.assert_allclose(fixed.replace(beta=0.1).reward, env.reward, rtol=1e-15)
    assert fixed.replace(target_params=env.target_params).given_reward is None
    assert env.replace(features=np.asarray(env.features) * [1, 1, 0]).rank == 2
    rewards = jax.vmap(lambda beta: env.replace(beta=beta).reward)(jnp.asarray([0.1, float(env.beta)]))
    np.testing.assert_allclose(rewards, jnp.stack([colder.reward, env.reward]), rtol=1e-14)


def test_difference_basis_spans_the_differences_and_is_orthonormal():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 4, 2)) @ rng.normal(size=(2, 5)) + 10 * rng.normal(size=(3, 1, 5))
    env = bl.Environment.create(features, target_params=np.ones(5), unidentified="allow")
    basis = np.asarray(env.difference_basis)
    assert (env.rank, env.num_features) == (2, 5)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-14)
    gaps = features - features[:, :1]
    np.testing.assert_allclose(gaps @ basis @ basis.T, gaps, atol=1e-13)
    np.testing.assert_array_equal(random_environment(0).difference_basis, np.eye(3))


@jax.jit
def initial_coverage(env):
    price = theory.label_price(env, bl.samplers.initial(env, env.log_initial))
    log_policy = env.log_initial
    return (
        coverage.trace(env, log_policy),
        coverage.operator(env, log_policy),
        coverage.density_ratio(env, log_policy),
        price,
    )


def logs_of_prefactors(start, step, stairs):
    """log C_tr - u L and log C_F - (u + min(u, g)) L at theta_0 = -u, one row per number of stairs L."""
    envs = [bl.instances.staircase(number, step=step, start=start) for number in stairs]
    logs = np.log([[trace, price] for trace, _, _, price in map(initial_coverage, envs)])
    return logs - np.outer(stairs, [start, start + min(start, step)])


@pytest.mark.parametrize(("start", "step"), [(1.0, 0.5), (0.5, 1.0), (3.0, 0.5)])
def test_staircase_coverage_grows_as_e_to_the_start_times_the_stairs(start, step):
    early, late = logs_of_prefactors(start, step, (32, 64))
    # What the rates leave out decays in L: geometrically, at the least of these, times a power of L.
    rate = min(start, step, abs(start - step))
    np.testing.assert_allclose(late, early, atol=32**2 * np.exp(-32 * rate), rtol=0)


@pytest.mark.parametrize("start", [0.5, 1.0])
def test_the_price_of_a_staircase_is_divided_by_its_length_where_start_and_step_agree(start):
    stairs = np.asarray([16, 32, 64])
    traces, prices = logs_of_prefactors(start, start, stairs).T
    np.testing.assert_allclose(traces[2], traces[1], atol=32**2 * np.exp(-32 * start), rtol=0)
    # C_F = e^{2uL} / (L (a + b/L + O(1/L^2))): as L doubles the changes of the bracket halve, up to O(1/L). Without the
    # division by L they would be log 2 each, beside those.
    first, second = np.diff(prices + np.log(stairs))
    assert second / first == pytest.approx(0.5, abs=1 / stairs[0])


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_needle_coverage_and_label_price_are_powers_of_the_rare_mass(beta):
    def logs(eps):
        env = bl.instances.needle(3, eps, beta=beta)
        np.testing.assert_allclose(np.exp(env.log_target)[0], [0.5, *[0.5 / 3] * 3], rtol=1e-12)
        return np.log(initial_coverage(env)[1:])

    slopes = (logs(1e-6) - logs(1e-5)) / np.log(10)
    # Corrections are powers eps^beta and eps of the rare mass: at most 1e-5^{1/2} = 0.3% at the ends.
    np.testing.assert_allclose(slopes, [1.0, 1.0, 1.0 + beta], atol=5e-3)


def test_partial_coverage_dials_the_mass_down_to_none():
    env = bl.instances.partial_coverage(6, 0.9)
    np.testing.assert_allclose(np.exp(env.log_reference)[0], [0.3] * 3 + [0.1 / 3] * 3, rtol=1e-14)
    missing = bl.instances.partial_coverage(6, 1.0)
    assert np.all(np.isneginf(missing.log_reference[0, 3:]))
    assert missing.rank == 5
    free = missing.log_policy(jnp.zeros(6))
    np.testing.assert_allclose(np.exp(free), 1 / 6, rtol=1e-14)
    # Mass where the reference has none: J = -inf, said outright.
    assert bl.metrics.gap(missing, free) == INF
    assert bl.metrics.kl_reference(missing, free) == INF
    assert np.isfinite(bl.metrics.kl_target(missing, free))


def test_random_features_leave_on_policy_data_nothing_to_improve():
    for seed in range(3):
        env = bl.instances.random_features(seed=seed)
        np.testing.assert_allclose(np.linalg.norm(env.features, axis=-1), 1.0, rtol=1e-14)
        assert abs(initial_coverage(env)[0] / env.num_features - 1) < 0.1
    assert not np.array_equal(env.features, bl.instances.random_features(seed=9).features)


def test_chain_and_the_counterexample_are_as_written():
    chain = bl.instances.chain(target=0.7, start=-0.4, beta=2.0)
    np.testing.assert_allclose(np.exp(chain.log_target)[0, 1], 1 / (1 + np.exp(-0.7)), rtol=1e-15)
    np.testing.assert_allclose(np.exp(chain.log_initial)[0, 1], 1 / (1 + np.exp(0.4)), rtol=1e-15)
    np.testing.assert_allclose(chain.reward[0, 1] - chain.reward[0, 0], 1.4, rtol=1e-15)
    counterexample = bl.instances.zhu_jordan_jiao()
    np.testing.assert_allclose(counterexample.reward[0], [-0.9, -1.0, 0.0, 0.1], atol=1e-15)


@pytest.mark.parametrize(
    "env",
    [
        bl.instances.staircase(3),
        bl.instances.needle(),
        bl.instances.random_features(num_contexts=2, num_actions=3, num_features=2).replace(beta=0.3),
        bl.instances.tabular([[0.0, 1.0], [2.0, -1.0]]),
        create(log_reference=[[np.log(0.5), -INF, np.log(0.5)], np.log([0.2, 0.3, 0.5])], reward=np.eye(3)[:2],
               target_params=None, unidentified="allow"),
    ],
)  # fmt: skip
def test_a_saved_environment_is_read_back_the_same(env, tmp_path):
    env.save(tmp_path / "env.npz")
    found = bl.Environment.load(tmp_path / "env.npz")
    assert jax.tree.structure(found) == jax.tree.structure(env)
    for ours, theirs in zip(jax.tree.leaves(env), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_save_and_load_refuse_what_is_no_environment(tmp_path):
    env = bl.instances.chain()
    with pytest.raises(ValueError, match=r"path must end in \.npz"):
        env.save(tmp_path / "env")
    with pytest.raises(ValueError, match=r"save takes one environment; got leading axes \(2,\)"):
        jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), env).save(tmp_path / "env.npz")
    assert not list(tmp_path.iterdir())
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", weights=np.ones(2))
    np.savez(tmp_path / "objects.npz", features=np.asarray([None]))
    for name in ("text.npz", "other.npz", "objects.npz"):
        with pytest.raises(ValueError, match="path must be a file of Environment.save"):
            bl.Environment.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        bl.Environment.load(tmp_path / "none.npz")


def nearly_collinear(gap):
    rng = np.random.default_rng(1)
    features, further = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 1))
    return np.concatenate([features, features[..., :1] + gap * further], -1), np.concatenate([features, further], -1)


@pytest.mark.parametrize("gap", [1e-4, 1e-6])
def test_prices_do_not_depend_on_the_coordinates_of_the_class(gap):
    given, apart = nearly_collinear(gap)
    reward = given @ np.ones(4)
    envs = [
        bl.Environment.create(phi, target_params=np.linalg.lstsq(phi.reshape(8, 4), reward.ravel(), rcond=None)[0])
        for phi in (given, apart)
    ]
    prices = [float(theory.label_price(env, bl.samplers.initial(env, env.log_initial))) for env in envs]
    # Squares of the differences lose eps / gap^2 of the direction, whose share of the price is below one.
    assert prices[0] == pytest.approx(prices[1], rel=64 * np.finfo(float).eps / gap**2)


@pytest.mark.parametrize("unidentified", ["raise", "allow"])
@pytest.mark.parametrize("gap", [1e-7, 1e-10, 1e-13])
def test_features_that_squares_of_their_differences_do_not_tell_apart_are_refused(gap, unidentified):
    given, _ = nearly_collinear(gap)
    with pytest.raises(ValueError, match="features must not be nearly collinear: .* lose 1 of the 4 directions"):
        bl.Environment.create(given, target_params=np.ones(4), unidentified=unidentified)
    # The size of a feature is no collinearity.
    assert bl.Environment.create(given[..., :3] * [1.0, 1e-6, 1e6], target_params=[0.0, 0.0, 0.0]).rank == 3


def test_a_repeated_feature_leaves_the_class_of_the_others():
    features = nearly_collinear(1.0)[0][..., :3]
    repeated = np.concatenate([features, features[..., :1]], -1)
    env = bl.Environment.create(repeated, target_params=np.ones(4), unidentified="allow")
    kept = bl.Environment.create(features, target_params=[2.0, 1.0, 1.0])
    prices = [float(theory.label_price(one, bl.samplers.initial(one, one.log_initial))) for one in (env, kept)]
    assert env.rank == 3
    assert prices[0] == pytest.approx(prices[1], rel=1e-12)


@pytest.mark.parametrize("unidentified", ["raise", "allow"])
@pytest.mark.parametrize("scale", [1e-9, 1e-14, 1e-100, 1e100])
def test_the_scale_of_a_feature_changes_neither_the_rank_nor_a_price(scale, unidentified):
    features = np.random.default_rng(0).normal(size=(2, 5, 2))
    envs = [
        bl.Environment.create(features * [1, one], target_params=[0.5, 0.5 / one], unidentified=unidentified)
        for one in (1.0, scale)
    ]
    prices = [float(theory.label_price(env, bl.samplers.uniform(env, env.log_initial))) for env in envs]
    assert envs[1].rank == 2
    assert prices[1] == pytest.approx(prices[0], rel=1e-12)


def test_a_small_feature_beside_one_that_repeats_another_is_refused_not_dropped():
    features = np.random.default_rng(0).normal(size=(2, 5, 2)) * [1, 1e-14]
    repeated = np.concatenate([features, features[..., :1]], -1)
    with pytest.raises(ValueError, match="features must be on one scale where some repeat others; got differences of"):
        bl.Environment.create(repeated, target_params=[0.25, 5e13, 0.25], unidentified="allow")


def test_features_whose_differences_no_number_squares_or_an_offset_rounds_away_are_refused():
    features = np.random.default_rng(0).normal(size=(2, 5, 2))
    for scale in (1e-154, 1e160):
        with pytest.raises(ValueError, match="features must differ by .* so that squares of float64 numbers hold them"):
            bl.Environment.create(features * scale, target_params=[0.0, 0.0])
    for offset in (1e13, 1e15):
        with pytest.raises(ValueError, match="features must not share an offset that rounds their differences away"):
            bl.Environment.create(features + offset, target_params=[0.5, 0.1])
    assert bl.Environment.create(features + 1e9, target_params=[0.5, 0.1]).rank == 2


@pytest.mark.parametrize("mass", [1e-15, 1e-18])
def test_coverage_is_infinite_where_rounding_loses_a_part_of_the_optimum(mass):
    """Two features that differ at a rare action alone: their covariance at pi* keeps no digit of what that shows."""
    first, rare = np.array([0, 1, -0.7, 0.4]), np.array([0, 0, 0, 1.0])
    reference = np.log([[0.3, 0.3, 0.4 - mass, mass]])
    together = bl.Environment.create(
        np.stack([first, first + rare], 1)[None], target_params=[0.3, 0.2], log_reference=reference
    )
    apart = bl.Environment.create(np.stack([first, rare], 1)[None], target_params=[0.5, 0.2], log_reference=reference)
    law = bl.samplers.on_policy(together, together.log_target)
    information = theory.fisher_information(together, law)
    for number in (
        coverage.trace(together, together.log_target),
        theory.label_price(together, law),
        theory.predicted_kl_pooled(together, information),
        theory.predicted_kl_weighted(together, information, information),
        theory.distillation.noise_price(together, law, 1.0),
        bl.planner.labels_needed(together, information, law, 0.01),
    ):
        assert np.isinf(number)
    assert coverage.trace(apart, apart.log_target) == pytest.approx(2, rel=1e-6)
    assert theory.label_price(apart, law) == pytest.approx(4.385, rel=1e-3)
