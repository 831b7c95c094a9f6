"""No random number serves twice: keys of every algorithm, and settings of a grid."""

import dataclasses

import jax
import numpy as np
import pytest

import banditlab as bl
from banditlab.numerics import key_records, multinomial, streams

A = bl.algorithms
MANY = 3000.0  # beyond what is drawn label by label
ALGORITHMS = {
    "on_policy_dpo": lambda n: A.on_policy_dpo(n, ridge=0.1),
    "offline_dpo": lambda n: A.offline_dpo(n, ridge=0.1),
    "uniform_dpo": lambda n: A.uniform_dpo(n),
    "hybrid_dpo": lambda n: A.hybrid_dpo(n, ridge=0.1),
    "dpo": lambda n: A.dpo(bl.samplers.pilaf, n, ridge=0.1),
    "ipo": lambda n: A.ipo(n),
    "chi_po": lambda n: A.chi_po(n, ridge=0.1),
    "hypo": lambda n: A.hypo(n, 0.1, kl="rloo", num_samples=3, num_steps=4),
    "gradient_dpo": lambda n: A.gradient_dpo(n, num_steps=4),
    "rlhf": lambda n: A.rlhf(n, policy="rloo", num_samples=3, num_steps=4),
    "reward_distillation": lambda n: A.reward_distillation(n, noise=0.5),
}
ENV = bl.instances.random_features(2, 3, 2)


@jax.jit
def two_rounds(algorithm, key):
    first, second, third = jax.random.split(key, 3)
    state = algorithm.init(first, ENV)
    state, _ = algorithm.step(second, state, ENV)
    return algorithm.step(third, state, ENV)[0].params


def uses(algorithm):
    with key_records.recording() as found:
        jax.block_until_ready(two_rounds(algorithm.prepare(ENV), key_records.key(5)))
    return list(found)


def folded(data):
    """Numbers of the first blocks of a key's stream, and of the streams beside, with the keys they make."""
    key = jax.random.wrap_key_data(np.asarray(data, np.uint32), impl="threefry2x32")
    numbers = [*range(64), *(value for name, value in vars(streams).items() if name.isupper())]
    return {
        tuple(np.asarray(jax.random.key_data(jax.random.fold_in(key, number))).tolist()): number for number in numbers
    }


def test_every_algorithm_is_recorded_here():
    assert set(ALGORITHMS) == set(A.__all__) - {"Algorithm", "RoundInfo"}


@pytest.mark.parametrize("num_pairs", [40.0, MANY])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_key_of_an_algorithm_is_drawn_from_twice(name, num_pairs):
    found = uses(ALGORITHMS[name](num_pairs))
    drawn = [use.data for use in found if use.what == "draw"]
    assert drawn
    assert len(drawn) == len(set(drawn))
    assert not {use.data for use in found if use.what == "split"} & set(drawn)
    # A key that is drawn from directly makes no further key by a number that its own draws reach.
    for data in list(dict.fromkeys(drawn))[:8]:
        made = {number for derived, number in folded(data).items() if derived in set(drawn)}
        assert all(number >= 2**24 for number in made)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_key_of_an_algorithm_comes_from_the_one_that_it_is_given(name):
    program = str(jax.make_jaxpr(two_rounds)(ALGORITHMS[name](40.0).prepare(ENV), jax.random.key(0)))
    assert "random_" in program
    assert "random_seed" not in program
    assert "random_wrap" not in program


def test_the_recorder_sees_a_key_that_serves_twice_and_draws_the_same_numbers():
    twice = dataclasses.replace(
        A.on_policy_dpo(40),
        step_fn=lambda a, key, state, env: A.on_policy_dpo(40).step_fn(
            a, key, state._replace(params=state.params + 0.0 * jax.random.normal(key)), env
        ),
    )
    drawn = [use.data for use in uses(twice) if use.what == "draw"]
    assert len(drawn) > len(set(drawn))
    with key_records.recording():
        numbers = jax.random.uniform(key_records.key(3), (7,))
    np.testing.assert_array_equal(numbers, jax.random.uniform(jax.random.key(3, impl="threefry2x32"), (7,)))


def grid(num_seeds, first_seed=0, common_seeds=False, settings=2):
    algorithms = [A.on_policy_dpo(50, ridge=0.1)] * settings
    return bl.simulate_grid(
        algorithms, [ENV], num_rounds=1, num_seeds=num_seeds, first_seed=first_seed, common_seeds=common_seeds
    ).params


def test_settings_have_random_numbers_of_their_own_whatever_the_number_of_seeds():
    many = grid(300)
    few = grid(7)
    np.testing.assert_array_equal(few, many[:, :7])
    np.testing.assert_array_equal(grid(10, first_seed=200), many[:, 200:210])
    np.testing.assert_array_equal(grid(7, settings=3)[:2], few)
    # Equal algorithms: equal numbers if and only if they share them.
    assert not (many[0] == many[1]).all(axis=-1).any()
    assert not np.isin(many[0][:, 0, 0], many[1][:, 0, 0]).any()
    common = grid(300, common_seeds=True)
    np.testing.assert_array_equal(common[0], common[1])
    # And across settings there is no correlation: 300 pairs, four standard errors.
    assert abs(np.corrcoef(many[0][:, 0, 0], many[1][:, 0, 0])[0, 1]) < 4 / np.sqrt(300)


def test_every_seed_and_every_run_has_random_numbers_of_its_own():
    """64 fits to 300 labels of 12 kinds agree by chance with probability below 64^2/2 times that of the likeliest."""
    run = bl.simulate(A.on_policy_dpo(300, ridge=0.1), ENV, num_rounds=2, num_seeds=64)
    for k in range(2):
        assert len(np.unique(run.params[:, k], axis=0)) == 64
    curves = bl.trajectories.paths(
        ENV,
        np.ones((64, 2, 3, 3)),
        record_at=[5],
        start=np.ones(2),
        step_size=0.5,
        penalty=1.0,
        kl="rloo",
        num_samples=300,
    )
    assert len(np.unique(curves["params"][:, 0], axis=0)) == 64


def test_labels_of_a_reward_model_are_drawn_with_another_key_than_its_pairs():
    problem = bl.didactic.problem.problem()
    with key_records.recording() as found:
        wins = bl.didactic.reward_model.draw_wins(
            key_records.key(4), problem.reward, problem.log_reference, 1.0, num_pairs=50
        )
        jax.block_until_ready(wins)
    drawn = [use.data for use in found if use.what == "draw"]
    assert len(drawn) == len(set(drawn)) == 2


def test_noise_of_reward_distillation_is_independent_of_its_pairs():
    """Correlation of a cell's count with its mean noise over 10,000 seeds: within four standard errors."""
    state = jax.vmap(lambda key: A.reward_distillation(40, noise=1.0).step(key, START, ENV)[0])(
        jax.random.split(jax.random.key(1), 10_000)
    )
    counts, noise = np.asarray(state.counts), np.asarray(state.noise)
    for cell in np.argwhere(counts.std(axis=0) > 0):
        pair = counts[(slice(None), *cell)], noise[(slice(None), *cell)]
        assert abs(np.corrcoef(*pair)[0, 1]) < 4.5 / 100


START = A.reward_distillation(40, noise=1.0).init(jax.random.key(0), ENV)


CELLS = 1000


@pytest.mark.parametrize("num_trials", [500.0, 1e6])
def test_every_block_of_a_large_table_has_a_key_of_its_own(num_trials):
    draw = jax.jit(lambda key: multinomial.draw(key, np.full(CELLS, 1 / CELLS), num_trials, capacity=None))
    with key_records.recording() as found:
        jax.block_until_ready(draw(key_records.key(2)))
    drawn = [use.data for use in found if use.what == "draw"]
    assert len(drawn) == len(set(drawn)) > 10


def test_counts_of_a_large_table_scatter_as_a_multinomial_does():
    """Pearson's statistic of 4000 draws of 1000 cells: mean k - 1 and variance 2 (k - 1) to first order in 1/n.

    The variance's own standard error is sqrt(2/4000) of it. Sums over random halves of the cells: a binomial's.
    """
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(CELLS, 5.0))
    num, draws = 1e6, 4000
    draw = jax.jit(jax.vmap(lambda key: multinomial.draw(key, probs, num, capacity=None)))
    counts = np.asarray(draw(jax.random.split(jax.random.key(4), draws)))
    statistic = ((counts - num * probs) ** 2 / (num * probs)).sum(axis=1)
    degrees = CELLS - 1
    assert abs(statistic.mean() - degrees) < 4 * np.sqrt(2 * degrees / draws)
    exact = 2 * degrees * (1 - 1 / num) + ((1 / probs).sum() - CELLS**2) / num  # its variance, to first order
    assert abs(statistic.var() / exact - 1) < 4.5 * np.sqrt(2 / draws)
    for _ in range(20):
        half = rng.random(CELLS) < 0.5
        share = probs[half].sum()
        sums = counts[:, half].sum(axis=1)
        assert abs(sums.var() / (num * share * (1 - share)) - 1) < 4.5 * np.sqrt(2 / draws)
