"""Where estimators start and what predictions assume: pi_ref in both policy classes, and pi* in the class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import banditlab as bl
from banditlab import algorithms, theory
from banditlab.theory import distillation, gradient_limits

REFERENCE = np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
REWARD = np.asarray([[0.0, 1.0, -0.5], [0.3, 0.1, 0.9]])
LINEAR = bl.Environment.create(
    [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]],
    target_params=[1.0, -1.0],
    log_reference=REFERENCE,
)
BASE = np.log([[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]])
IN_CLASS = {
    "linear softmax": LINEAR,
    "tabular": bl.instances.tabular(REWARD, REFERENCE),
    "partial coverage": bl.instances.partial_coverage(6, 0.9),
    "two of three dimensions": bl.Environment.create(
        np.pad(np.eye(6).reshape(2, 3, 6), ((0, 0), (0, 0), (0, 1))),
        reward=REWARD,
        log_reference=REFERENCE,
        log_base=BASE,
        unidentified="allow",
    ),
    "a context of probability zero": bl.instances.tabular(REWARD, REFERENCE).replace(context_probs=[0.0, 1.0]),
}
NOT_IN_CLASS = {
    "an action without reference mass": bl.instances.partial_coverage(6, 1.0),
    "too few features": bl.Environment.create(
        LINEAR.features, target_params=[1.0, -1.0], log_reference=REFERENCE, log_base=BASE
    ),
    "an action without base mass": bl.instances.tabular(REWARD, REFERENCE).replace(
        log_base=[[0.0, 0.0, -np.inf], [0.0, 0.0, 0.0]]
    ),
}


@pytest.mark.parametrize("env", IN_CLASS.values(), ids=IN_CLASS)
def test_every_class_that_holds_pi_ref_starts_there(env):
    assert bl.policies.kl(env, env.log_policy(env.start_params), env.log_reference) < 1e-28
    np.testing.assert_array_equal(env.log_initial, env.log_reference)


@pytest.mark.parametrize("env", NOT_IN_CLASS.values(), ids=NOT_IN_CLASS)
def test_a_class_without_pi_ref_says_so_and_takes_a_start(env):
    with pytest.raises(ValueError, match="env must have initial_params: pi_ref is not in its policy class"):
        bl.simulate(algorithms.on_policy_dpo(10), env, num_rounds=1, num_seeds=1)
    with pytest.raises(ValueError, match="center must be given with a ridge"):
        bl.estimators.fit(env, jnp.ones((env.num_contexts, env.num_actions, env.num_actions)), ridge=1.0)
    given = np.linspace(0.0, 1.0, env.num_features)
    np.testing.assert_array_equal(env.replace(initial_params=given).start_params, given)


@pytest.mark.parametrize(
    "algorithm",
    [
        algorithms.gradient_dpo(100, num_steps=1, step_size=1e-9),
        algorithms.hypo(100, 0.1, num_steps=1, step_size=1e-9),
        algorithms.on_policy_dpo(100, ridge=1e12),
        algorithms.ipo(100, ridge=1e12),
        algorithms.dpo(bl.samplers.initial, 100, ridge=1e12, center="reference"),
        algorithms.reward_distillation(100, damping=1e-12),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_a_step_of_no_size_stays_at_pi_ref(algorithm):
    run = bl.simulate(algorithm, bl.instances.tabular(REWARD, REFERENCE), num_rounds=1, num_seeds=3)
    assert (run.metrics["kl_reference"] < 1e-9).all()  # .073 from the uniform policy


def test_without_an_informative_pair_theta_stays_at_pi_ref_round_after_round():
    env = bl.instances.tabular(REWARD, REFERENCE)
    self_pairs = algorithms.dpo(lambda env, log_policy: jnp.eye(3)[None] * jnp.exp(log_policy)[:, :, None] / 2, 10)
    run = bl.simulate(self_pairs, env, num_rounds=2, num_seeds=2)
    assert (run.metrics["kl_reference"] < 1e-28).all()


def test_descent_from_the_default_start_ends_at_the_closed_form_from_pi_ref():
    env = bl.instances.tabular(REWARD[:1], REFERENCE[:1])
    wins = jnp.zeros((1, 3, 3)).at[0, 0, 1].set(30.0).at[0, 1, 0].set(70.0)
    run = bl.trajectories.paths(env, wins[None], record_at=[20000], step_size=0.02)
    seen, pairs = np.asarray([[True, True, False]]), wins + wins.swapaxes(1, 2)
    reward = jnp.asarray([[0.0, np.log(7 / 3), 0.0]])
    limit = gradient_limits.dpo_flow_limit(env, reward, seen, pairs=pairs)
    np.testing.assert_allclose(run["log_policy"][0, 0], limit, atol=1e-9)


def test_a_linear_softmax_follows_a_new_reference_and_a_free_one_keeps_its_base():
    other = np.log([[0.2, 0.2, 0.6], [0.4, 0.5, 0.1]])
    for moved in (
        LINEAR.replace(log_reference=other),
        jax.tree.map(
            lambda leaf: leaf[0], jax.vmap(lambda t: LINEAR.replace(log_reference=t))(jnp.asarray(other)[None])
        ),
    ):
        made = bl.Environment.create(LINEAR.features, target_params=LINEAR.target_params, log_reference=other)
        np.testing.assert_allclose(moved.log_base, made.log_base, rtol=1e-15)
        assert bl.policies.kl(moved, moved.log_target, moved.log_policy(moved.target_params)) < 1e-15
        np.testing.assert_array_equal(moved.start_params, 0.0)
    free = bl.instances.tabular(REWARD, REFERENCE)
    np.testing.assert_array_equal(free.replace(log_reference=other).log_base, 0.0)
    assert bl.policies.kl(free, free.replace(log_reference=other).log_policy(free.start_params), REFERENCE) < 1e-28


def test_a_traced_reference_is_followed_or_asked_for():
    env = bl.instances.tabular(REWARD, REFERENCE)

    def start(log_reference, **others):
        return env.replace(log_reference=log_reference, **others).start_params

    with pytest.raises(ValueError, match="or was changed inside a transformation"):
        jax.jit(start)(jnp.asarray(BASE))
    given = jax.jit(lambda table: start(table, initial_params=jnp.arange(6.0)))(jnp.asarray(BASE))
    np.testing.assert_array_equal(given, np.arange(6.0))
    with pytest.raises(ValueError, match="log_base must be given with log_reference where the environment is traced"):
        jax.jit(lambda env: env.replace(log_reference=env.log_reference).log_base)(LINEAR)


def test_a_saved_linear_softmax_is_one_when_it_is_read_again(tmp_path):
    LINEAR.save(tmp_path / "env.npz")
    read = bl.Environment.load(tmp_path / "env.npz").replace(beta=0.3)
    np.testing.assert_array_equal(read.log_base, read.log_reference)
    np.testing.assert_array_equal(read.start_params, 0.0)


def residual(features, reward, support):
    """The largest within-context error of the least-squares fit, by loops."""
    rows, values = [], []
    for x in range(len(features)):
        inside = np.flatnonzero(support[x])
        rows += list(features[x, inside] - features[x, inside].mean(axis=0))
        values += list(reward[x, inside] - reward[x, inside].mean())
    rows, values = np.asarray(rows), np.asarray(values)
    return np.abs(values - rows @ np.linalg.pinv(rows) @ values).max()


def test_the_residual_is_that_of_the_best_fit_on_the_support_in_units_of_the_reward():
    rng = np.random.default_rng(0)
    features, reward = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5))
    reference = np.full((3, 5), np.log(0.25))
    reference[:, 2] = -np.inf
    env = bl.Environment.create(features, reward=reward, log_reference=reference, beta=0.3)
    assert env.residual == pytest.approx(residual(features, reward, np.isfinite(reference)), rel=1e-12)
    assert not env.realizable
    assert f"residual {float(env.residual):.3g}" in repr(env)
    made = features @ [0.4, -2.0] + rng.normal(size=(3, 1))
    inside = bl.Environment.create(features, reward=made, log_reference=reference, beta=0.3)
    assert inside.realizable
    assert "residual 0" in repr(inside)
    # A free softmax must reach pi*, not the reward alone.
    uneven = np.where(np.isfinite(reference), np.log(rng.dirichlet(np.ones(5), size=3)), -np.inf)
    uneven -= np.logaddexp.reduce(uneven, axis=1, keepdims=True)
    tilt = 0.3 * np.where(np.isfinite(uneven), uneven, 0.0)
    free = bl.Environment.create(features, reward=reward, log_reference=uneven, log_base=np.zeros((3, 5)), beta=0.3)
    assert free.residual == pytest.approx(residual(features, reward + tilt, np.isfinite(uneven)), rel=1e-12)
    reached = bl.Environment.create(
        features, reward=made - tilt, log_reference=uneven, log_base=np.zeros((3, 5)), beta=0.3
    )
    assert reached.realizable


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shape", [(1, 2, 1), (3, 4, 2), (40, 30, 12)])
def test_rounding_is_no_residual_and_a_small_error_is_one(shape, scale):
    rng = np.random.default_rng(1)
    features = rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 3, shape[-1])
    reward = scale * (features @ rng.normal(size=shape[-1]) + rng.normal(size=(shape[0], 1)))
    assert bl.Environment.create(features, reward=reward, unidentified="allow").realizable
    if shape[1] > 2:
        reward[0, 0] += 1e-6 * np.abs(reward).max()
        assert not bl.Environment.create(features, reward=reward, unidentified="allow").realizable


PREDICTIONS = {
    "label_price": lambda env, law, **o: theory.label_price(env, law, **o),
    "predicted_kl": lambda env, law, **o: theory.predicted_kl(env, law, 100.0, **o),
    "predicted_kl_pooled": lambda env, law, **o: theory.predicted_kl_pooled(env, jnp.eye(2), **o),
    "predicted_kl_weighted": lambda env, law, **o: theory.predicted_kl_weighted(env, jnp.eye(2), jnp.eye(2), **o),
    "labels_needed": lambda env, law, **o: theory.labels_needed(env, law, 0.1, **o),
    "offline_lower_bound": lambda env, law, **o: theory.offline_lower_bound(env, 100.0, 1.0, **o),
    "batch_threshold": lambda env, law, **o: theory.batch_threshold(env, **o),
    "recursion": lambda env, law, **o: theory.recursion(env, 0.1, 1e6, 3, **o),
    "noise_floor": lambda env, law, **o: distillation.noise_floor(env, law, 1.0, **o),
    "noise_price": lambda env, law, **o: distillation.noise_price(env, law, 1.0, **o),
    "distillation.predicted_kl": lambda env, law, **o: distillation.predicted_kl(env, law, 9.0, 1.0, **o),
    "on_policy_floor": lambda env, law, **o: distillation.on_policy_floor(env, None, **o),
}


@pytest.mark.parametrize("predict", PREDICTIONS.values(), ids=PREDICTIONS)
def test_a_prediction_that_assumes_realizability_names_the_residual(predict):
    env = LINEAR.replace(reward=REWARD)
    law = bl.samplers.uniform(env, env.log_target)
    with pytest.raises(ValueError, match=rf"env.residual = {float(env.residual):.3g} in reward \(misspecified="):
        predict(env, law)
    assert np.isfinite(predict(env, law, misspecified="allow")).all()
    with pytest.raises(ValueError, match="misspecified must be one of 'raise', 'allow'; got 'ignore'"):
        predict(env, law, misspecified="ignore")
    assert np.isfinite(predict(LINEAR, law)).all()


TILTED = bl.Environment.create(
    np.eye(3)[None], target_params=[0.5, 0.0, -0.5], log_reference=np.log([[0.7, 0.2, 0.1]]), log_base=np.zeros((1, 3)),
    unidentified="allow",
)  # fmt: skip


def test_a_free_softmax_has_the_parameters_of_its_optimum_where_pi_ref_has_its_own():
    """`target_params` says the reward; pi* is at those of pi_ref and these together."""
    optimum = np.asarray(TILTED.optimal_params)
    np.testing.assert_allclose(TILTED.log_policy(optimum), TILTED.log_target, atol=1e-14)
    assert theory.kl_bounds(TILTED, optimum) == (0.0, 0.0)
    for params in (TILTED.target_params, np.zeros(3), np.asarray([1.0, 2.0, -1.0])):
        low, high = theory.kl_bounds(TILTED, params)
        log_policy = TILTED.log_policy(params)
        assert low <= bl.metrics.kl_target(TILTED, log_policy) <= high
        assert abs(np.log(bl.coverage.operator(TILTED, log_policy))) <= theory.oscillation(TILTED, params)
    teacher = np.asarray(TILTED.reward) + np.random.default_rng(0).normal(size=(1, 3))
    assert theory.distillation.population_bias(TILTED, teacher, 3)["share"].max() <= 1
    linear = TILTED.replace(log_base=TILTED.log_reference)
    start = theory.guarantees.initial_distance(linear)
    assert start > 0
    assert theory.guarantees.initial_distance(TILTED) == pytest.approx(start, rel=1e-12)


def test_a_class_that_plays_what_pi_ref_does_not_holds_no_optimum():
    reference = np.asarray([[np.log(0.5), np.log(0.5), -np.inf]])
    env = TILTED.replace(log_reference=reference)
    law = bl.samplers.uniform(env, TILTED.log_reference)
    with pytest.raises(ValueError, match="every policy of its class plays actions that pi_ref and pi"):
        theory.predicted_kl(env, law, 1e6)
    assert np.isfinite(theory.predicted_kl(env, law, 1e6, misspecified="allow"))
