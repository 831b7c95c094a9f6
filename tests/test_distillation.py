"""Reward distillation: the solver, the noise floor, exact recovery, a teacher's error."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_environment, random_pair_law

import banditlab as bl
from banditlab import coverage, theory
from banditlab.estimators.regression import least_squares
from banditlab.exact import distillation_rounds, lattice
from banditlab.exact import rank as exact_rank
from banditlab.theory import distillation
from experiments.coverage.reward_distillation import runs

SHAPE = (2, 4, 3)
solve = jax.jit(least_squares)
step = jax.jit(lambda algorithm, key, state, env: algorithm.step(key, state, env))


def differences(env):
    phi = np.asarray(env.features)
    return phi[:, :, None] - phi[:, None]


def sparse_counts(seed, share):
    """(S, A, A) for i < j, from 1 to 10^4, most of them zero: rank 0 to 3."""
    rng = np.random.default_rng(seed)
    shape = (SHAPE[0], SHAPE[1], SHAPE[1])
    return np.triu((rng.random(shape) < share) * 10.0 ** rng.integers(0, 5, shape), 1)


def test_the_solution_is_the_least_squares_one_nearest_to_the_start():
    ranks = set()
    for seed, share in itertools.product(range(12), (0.05, 0.15, 0.5)):
        env, counts = random_environment(seed, SHAPE), sparse_counts(seed, share)
        rng = np.random.default_rng(seed)
        start, target = rng.standard_normal(3), rng.standard_normal(counts.shape)
        rows = np.sqrt(counts).reshape(-1, 1) * differences(env).reshape(-1, 3) * float(env.beta)
        missing = np.sqrt(counts).ravel() * target.ravel() - rows @ start
        wanted = start + np.linalg.lstsq(rows, missing, rcond=1e-12)[0]
        found = solve(env, jnp.asarray(counts), jnp.asarray(target), jnp.asarray(start))
        # A residual that stays, times the condition number of the information, 1e4 in the counts and 1e2 in z.
        assert np.allclose(found.params, wanted, rtol=0, atol=1e-8)
        ranks.add(np.linalg.matrix_rank(rows).item())
        assert bool(found.spans) == (np.linalg.matrix_rank(rows) == 3)
    assert ranks == {0, 1, 2, 3}


def test_the_error_given_the_pairs_is_the_noise_floor_without_sampling():
    """theta_hat is linear in the cell means, of variance tau^2 / N each: sum the squares of its derivatives."""
    env, counts, noise = random_environment(5, SHAPE), sparse_counts(5, 0.7), 0.3
    start, zero = jnp.zeros(3), jnp.zeros(counts.shape)
    slopes = np.asarray(jax.jacfwd(lambda target: solve(env, jnp.asarray(counts), target, start).params)(zero))
    slopes = slopes.reshape(3, -1)[:, counts.ravel() > 0]
    covariance = noise**2 * np.einsum("ic,jc,c->ij", slopes, slopes, 1 / counts[counts > 0])
    wanted = float(np.sum(covariance * np.asarray(coverage.target_covariance(env))))
    assert float(distillation.noise_floor(env, counts, noise)) == pytest.approx(wanted, rel=1e-9)
    assert np.isinf(distillation.noise_floor(env, np.zeros(counts.shape), noise))


def test_the_on_policy_noise_price_is_c_tr_and_noise_two_still_beats_every_label():
    env = random_environment(2, SHAPE)
    pairs = bl.samplers.initial(env, env.log_initial)
    price = distillation.noise_price(env, pairs, 1.5)
    wanted = 1.5**2 * coverage.trace(env, env.log_initial) / (2 * env.beta**2)  # M = 2 V (I1)
    assert float(price) == pytest.approx(float(wanted), rel=1e-12)
    flat = env.replace(target_params=np.zeros(3))
    for seed in range(20):
        law = random_pair_law(seed, SHAPE[:2])
        at_two = distillation.noise_price(env, law, 2.0)
        assert float(theory.label_price(env, law)) > float(at_two)
        at_two = distillation.noise_price(flat, law, 2.0)  # sigma' = 1/4 everywhere: equality
        assert float(theory.label_price(flat, law)) == pytest.approx(float(at_two), rel=1e-12)


def test_a_noiseless_round_projects_the_error_off_the_differences_shown():
    env = runs.stairs([-0.5, 0.3, -1.0, 0.2], 0.8)
    target = np.asarray(env.target_params)
    for pooled in (False, True):
        algorithm = bl.algorithms.reward_distillation(3, pooled=pooled)
        state = algorithm.init(jax.random.key(0), env)
        for k in range(6):
            before = np.asarray(state.params) - target
            state, info = step(algorithm, jax.random.key(k), state, env)
            shown = differences(env)[np.asarray(state.counts) > 0].reshape(-1, 4)
            seen = np.linalg.svd(shown.T, full_matrices=False)[0][:, : np.linalg.matrix_rank(shown)]
            error = np.asarray(state.params) - target
            assert np.allclose(error, before - seen @ (seen.T @ before), rtol=0, atol=1e-12)
            assert np.linalg.norm(error) <= np.linalg.norm(before) + 1e-12
            assert int(info.existence) == (0 if seen.shape[1] == 4 else 2)
            assert int(np.asarray(state.counts).sum()) <= 3 * (k + 1 if pooled else 1)  # self-pairs are paid for


@pytest.mark.parametrize("damping", [0.3, 1.0])
def test_population_rounds_contract_by_exactly_one_minus_damping_and_recover_a_tabular_target(damping):
    env = bl.instances.tabular([[0.2, 1.0, -0.5, 0.1]], np.log([[0.1, 0.2, 0.3, 0.4]]), beta=0.5)
    algorithm = bl.algorithms.reward_distillation(math.inf, noise=3.0, on_policy=False, damping=damping)
    state = algorithm.init(jax.random.key(0), env)
    basis = np.asarray(env.difference_basis)
    target = basis @ (basis.T @ np.asarray(env.log_target)[0])
    error = np.asarray(state.params) - target
    for k in range(4):
        state, info = step(algorithm, jax.random.key(k), state, env)
        error = (1 - damping) * error
        assert np.allclose(state.params - target, error, rtol=0, atol=1e-13)
        assert int(info.existence) == bl.Existence.exists
    if damping == 1.0:
        assert np.allclose(state.log_policy, env.log_target, rtol=0, atol=1e-13)


def test_a_damped_path_is_that_of_population_rounds_and_its_rounding_is_enough():
    env = random_environment(3, SHAPE)
    target, num_rounds = np.asarray(env.target_params), 6
    found = distillation.population_recursion(env, env.reward, num_rounds, damping=0.4)
    path = distillation_rounds.damped_errors(found[0] - target, 0.4, num_rounds)
    assert np.allclose(path[:2], (found[0] - target) * np.array([[0.6], [0.36]]), rtol=1e-15)
    distance = distillation_rounds.relative_distance(found[1:] - target, path)
    assert distance.shape == (num_rounds,)
    assert distance.max() < distillation_rounds.damped_rounding(0.4, num_rounds) < 1e-9
    assert distillation_rounds.relative_distance(1.01 * path, path) == pytest.approx(0.01, rel=1e-10)


def test_the_nearest_of_a_set_and_the_bound_on_an_empirical_law():
    params = np.array([[[0.0, 1.0], [2.0, 2.5]]])
    allowed = np.array([[0.0, 1.0], [2.0, 2.0], [9.0, 9.0]])
    assert distillation_rounds.distance_to_nearest(params, allowed).tolist() == [[0.0, 0.5]]
    bound = lattice.distance_bound(500, 0.05)
    assert 2 * math.exp(-2 * 500 * bound**2) == pytest.approx(0.05, rel=1e-12)
    draws = np.sort(np.random.default_rng(0).random((2000, 500)), axis=1)
    steps = np.arange(501) / 500
    distance = np.maximum(np.abs(draws - steps[1:]), np.abs(draws - steps[:-1])).max(axis=1)
    assert 0.02 < (distance > bound).mean() < 0.06


def test_pooled_noise_is_the_mean_over_all_pairs():
    env = bl.instances.chain()
    algorithm = bl.algorithms.reward_distillation(50, noise=2.0, pooled=True)
    state = algorithm.init(jax.random.key(0), env)
    for k in range(3):
        state, _ = step(algorithm, jax.random.key(k), state, env)
        mean_noise = 2.0 * float(state.noise[0, 0, 1]) / float(state.counts[0, 0, 1])
        assert float(state.params[0]) == pytest.approx(1.0 - mean_noise, abs=1e-12)  # r(0) - r(1) = -theta*
    assert 2.0 * float(state.noise[0, 0, 1]) != 0.0


def test_numbers_do_not_recompile():
    traces = []

    @jax.jit
    def one(algorithm, key):
        traces.append(1)
        env = bl.instances.chain()
        return algorithm.step(key, algorithm.init(key, env), env)[0].params

    for n, tau, eta, pooled in ((1e4, 0.0, 1.0, False), (1e9, 0.5, 0.2, True), (1e12, 2.0, 0.7, False)):
        one(bl.algorithms.reward_distillation(n, tau, damping=eta, pooled=pooled), jax.random.key(0))
    assert len(traces) == 1


def ranks_by_enumeration(env, num_pairs, num_rounds, on_policy):
    """(A,) P(rank) of pooled noiseless distillation, by listing every sequence of pairs."""
    phi, target = np.asarray(env.features)[0], np.asarray(env.target_params)
    cells = list(itertools.product(range(len(phi)), repeat=2))
    z = np.asarray([phi[i] - phi[j] for i, j in cells])
    found = np.zeros(len(phi))

    def play(k, seen, prob):
        theta = np.asarray(env.start_params)
        theta = theta + np.linalg.lstsq(z[seen], z[seen] @ (target - theta), rcond=1e-10)[0] if seen else theta
        if k == num_rounds:
            found[np.linalg.matrix_rank(z[seen])] += prob
            return
        policy = np.exp(phi @ (theta if on_policy else np.asarray(env.start_params)))
        policy /= policy.sum()
        law = np.asarray([policy[i] * policy[j] for i, j in cells])
        for batch in itertools.combinations_with_replacement(range(len(cells)), num_pairs):
            times = np.bincount(batch, minlength=len(cells))
            ways = math.factorial(num_pairs) / math.prod(math.factorial(c) for c in times)
            play(k + 1, sorted({*seen, *batch}), prob * ways * np.prod(law**times))

    play(0, [], 1.0)
    return found


def of(env):
    """What `rank_law` takes of an environment with one context."""
    return env.features[0], env.target_params, env.start_params


@pytest.mark.parametrize("on_policy", [True, False])
def test_the_rank_law_is_that_of_all_sequences_of_pairs(on_policy):
    features = np.tril(np.ones((3, 3)))[None, :, 1:]
    env = bl.Environment.create(features, target_params=[0.3, 1.1], initial_params=[-0.5, 0.9])
    law = exact_rank.rank_law(*of(env), 2, 2, on_policy=on_policy)
    wanted = ranks_by_enumeration(env, 2, 2, on_policy)
    assert np.allclose([law.probs[2][law.ranks == rank].sum() for rank in range(3)], wanted, rtol=0, atol=1e-13)
    assert law.recovered[2] == pytest.approx(wanted[2], abs=1e-13)
    assert np.allclose(law.params[-1], env.target_params)


def test_one_batch_spans_with_the_probability_of_a_connected_graph():
    env = runs.stairs([-0.5, 0.3, -1.0, 0.2], 1.0)
    pairs = np.asarray(bl.samplers.initial(env, env.log_initial))[0]
    for num_pairs in (1, 4, 30):
        wanted = exact_rank.rank_law(*of(env), num_pairs, 1, on_policy=True).recovered[1]
        assert exact_rank.spanning_probability(pairs, num_pairs) == pytest.approx(wanted, abs=1e-12)
    assert [len(exact_rank.partitions(count)) for count in range(1, 6)] == [1, 2, 5, 15, 52]  # Bell numbers


def test_rank_d_is_sufficient_but_one_pair_along_the_error_recovers_everything():
    env = bl.instances.staircase(4, step=0.5, start=1.0)  # theta* - theta_0 is parallel to phi(4) - phi(0)
    counts = jnp.zeros((1, 5, 5)).at[0, 0, 4].set(1.0)
    gaps = env.reward[:, :, None] - env.reward[:, None, :]
    found = solve(env, counts, gaps, env.start_params)
    assert np.allclose(found.params, env.target_params, rtol=0, atol=1e-14)
    assert not bool(found.spans)


def test_the_population_bias_is_the_regression_of_the_teachers_error():
    env = random_environment(3, SHAPE)
    rng = np.random.default_rng(0)
    error = rng.standard_normal(SHAPE[:2])
    teacher = np.asarray(env.reward) + error
    law = random_pair_law(1, SHAPE[:2])
    found = distillation.population_solution(env, teacher, law, np.zeros(3))
    gaps = error[:, :, None] - error[:, None]
    right = np.einsum("xij,xijd,xij->d", law, differences(env), gaps) / float(env.beta)
    moment = np.asarray(theory.second_moment(env, jnp.asarray(law)))
    shift = np.linalg.solve(moment, right)
    assert np.allclose(found, np.asarray(env.target_params) + shift, rtol=0, atol=1e-11)
    weighted = float(distillation.weighted_error(env, teacher, jnp.asarray(law)))
    assert weighted == pytest.approx(np.sum(law * gaps**2) / float(env.beta) ** 2, rel=1e-12)
    assert shift @ moment @ shift <= weighted
    # An error inside the class is a shift whatever the sampler, and the bound of the M-norm is attained.
    inside = np.asarray(env.reward) + float(env.beta) * np.asarray(env.features) @ [0.1, -0.2, 0.3]
    found = distillation.population_solution(env, inside, law, np.zeros(3))
    shift = found - np.asarray(env.target_params)
    assert np.allclose(shift, [0.1, -0.2, 0.3], atol=1e-12)
    weighted = float(distillation.weighted_error(env, inside, jnp.asarray(law)))
    assert shift @ moment @ shift == pytest.approx(weighted, rel=1e-10)


def test_the_floor_of_late_rounds_is_half_the_label_price_or_its_closed_form_for_rewards():
    env = runs.stairs([-0.5, 0.3, -1.0, 0.2], 0.8)
    price = theory.label_price(env, bl.samplers.on_policy(env, env.log_target))
    assert float(distillation.on_policy_floor(env, None)) == pytest.approx(float(price) / 2, rel=1e-12)
    closed = 1.5**2 * 4 / (4 * 0.8**2)  # tau^2 d/(4 beta^2)
    assert float(distillation.on_policy_floor(env, 1.5)) == pytest.approx(closed, rel=1e-10)


def test_refreshing_the_sampler_shrinks_one_teachers_bias_and_grows_anothers():
    env = runs.ramp(0.5, -1.0)
    bias = {}
    for place, wrong in runs.WRONG.items():
        teacher = np.asarray(env.reward) + wrong
        for sampler in runs.SAMPLERS:
            path = distillation.population_bias(env, teacher, 5, on_policy=sampler == "refreshed")
            bias[place, sampler] = path["bias_kl"][-1]
            assert (path["share"] <= 1).all()
        algorithm = bl.algorithms.reward_distillation(math.inf, teacher=teacher)
        state = algorithm.init(jax.random.key(0), env)
        wanted = distillation.population_recursion(env, teacher, 3)
        for params in wanted[1:]:
            state, _ = step(algorithm, jax.random.key(0), state, env)
            assert np.allclose(state.params, params, rtol=0, atol=1e-12)
    assert bias["top", "refreshed"] > 50 * bias["top", "never"]
    assert bias["bottom", "refreshed"] < bias["bottom", "never"] / 30


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bl.algorithms.reward_distillation(0), "num_pairs must be a whole number of at least 1 or inf; got 0"),
        (lambda: bl.algorithms.reward_distillation(9, -1.0), "noise must be non-negative and finite; got -1.0"),
        (lambda: bl.algorithms.reward_distillation(9, damping=0), "damping must be positive and finite; got 0"),
        (lambda: bl.algorithms.reward_distillation(9, damping=1.5), "damping must be at most 1; got 1.5"),
        (
            lambda: bl.algorithms.reward_distillation(9, on_policy=False, sampler=bl.samplers.uniform),
            "on_policy must be left out when a sampler is given; got False",
        ),
        (lambda: bl.algorithms.reward_distillation(9, teacher=[1.0]), r"teacher must be \(num_contexts, num_actions\)"),
        (
            lambda: bl.simulate(
                bl.algorithms.reward_distillation(9, teacher=np.zeros((1, 3))), bl.instances.chain(), num_rounds=1,
                num_seeds=1,
            ),
            r"teacher must be \(1, 2\); got \(1, 3\)",
        ),
        (
            lambda: exact_rank.rank_law(*of(runs.ramp(0.5, 0.0)), 5, 1, on_policy=True),
            r"features must be \(A, A - 1\), differences of rank A - 1; got \(6, 1\), rank 1",
        ),
        (
            lambda: exact_rank.rank_law(*of(bl.instances.staircase(7)), 5, 1, on_policy=True),
            "features must be of at most 7 actions; got 8",
        ),
        (lambda: distillation.damped_share(0.0, 3), "damping must be positive and finite; got 0.0"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_population_bias_reads_no_direction_that_changes_no_policy():
    narrow = random_environment(3, (3, 4, 1))
    features = np.asarray(narrow.features) * np.asarray([1.0, 2.0])
    target = np.asarray(narrow.target_params)[0] * np.asarray([0.2, 0.4])
    shared = {name: getattr(narrow, name) for name in ("context_probs", "log_reference", "beta")}
    wide = bl.Environment.create(features, target_params=target, unidentified="allow", **shared)
    teacher = np.random.default_rng(0).standard_normal((3, 4))
    found, expected = (
        distillation.population_bias(env, teacher, 2) for env in (wide, narrow.replace(initial_params=None))
    )
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("scale", [1e-6, 1e-12, 1e9])
def test_a_population_solution_does_not_depend_on_the_scale_of_a_feature(scale):
    features = np.random.default_rng(0).normal(size=(2, 4, 2)) * [1, scale]
    env = bl.Environment.create(features, target_params=[0.5, 0.5 / scale])
    law = bl.samplers.uniform(env, env.log_initial)
    found = distillation.population_solution(env, env.reward, law, np.zeros(2))
    np.testing.assert_allclose(found, env.target_params, rtol=1e-9)


def test_a_population_solution_is_the_nearest_in_theta_whatever_the_scales_of_what_is_shown():
    """Two pairs in four dimensions on scales a thousandfold apart, against the pseudo-inverse of their rows."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(1, 6, 4)) * [1, 1e3, 1e-3, 1]
    env = bl.Environment.create(features, target_params=rng.normal(size=4) / [1, 1e3, 1e-3, 1])
    law, start = np.zeros((1, 6, 6)), rng.normal(size=4)
    law[0, 0, 1] = law[0, 2, 3] = 0.5
    rows = features[0, [0, 2]] - features[0, [1, 3]]
    reward = np.asarray(env.reward)[0]
    gaps = (reward[[0, 2]] - reward[[1, 3]]) / float(env.beta)
    wanted = start + np.linalg.pinv(rows) @ (gaps - rows @ start)
    np.testing.assert_allclose(distillation.population_solution(env, env.reward, law, start), wanted, rtol=1e-9)
