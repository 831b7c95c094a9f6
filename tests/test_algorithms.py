"""Every algorithm keeps the contract; the variants are what their names say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import banditlab as bl
from banditlab import testing

A = bl.algorithms
ENV = bl.instances.random_features(2, 3, 2)
TABLE = {
    "offline": lambda: A.offline_dpo(60, ridge=0.1),
    "on_policy": lambda: A.on_policy_dpo(60, ridge=0.1),
    "on_policy_pooled": lambda: A.on_policy_dpo(60, ridge=0.1, pooled=True),
    "capped_flipped_labels": lambda: A.on_policy_dpo(60, max_norm=5.0, labeller=bl.preferences.flipped(0.1)),
    "unregularised": lambda: A.on_policy_dpo(40),
    "uniform_many": lambda: A.uniform_dpo(10_000),
    "population": lambda: A.offline_dpo(float("inf")),
    "hybrid_paired": lambda: A.hybrid_dpo(60, ridge=0.1),
    "hybrid_mixture": lambda: A.hybrid_dpo(60, "mixture", bl.designs.triple(ENV), center="reference"),
    "hybrid_design": lambda: A.hybrid_dpo(60, "design", bl.designs.triple(ENV), ridge=0.1),
}


# By `make test-all`: their code is that of others here.
LONG = ("capped_flipped_labels", "unregularised", "uniform_many", "hybrid_mixture")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in TABLE])
def test_contract(name):
    testing.check_algorithm(TABLE[name](), ENV)


def test_the_contract_check_fails_on_a_broken_algorithm():
    good = A.on_policy_dpo(50, ridge=0.1)
    unnormalised = A.Algorithm(
        "broken", good.init_fn, good.step_fn, lambda a, s, e: s.log_policy + 1.0, good.settings, good.options
    )
    with pytest.raises(AssertionError, match="normalised|sum to 1"):
        testing.check_algorithm(unnormalised, bl.instances.chain())
    narrow = A.Algorithm(
        "broken", good.init_fn, good.step_fn, good.policy_fn,
        good.settings | {"ridge": jnp.float32(0.1)}, good.options,
    )  # fmt: skip
    with pytest.raises(AssertionError, match="ridge.*must be float64; got float32"):
        testing.check_algorithm(narrow, bl.instances.chain())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: A.on_policy_dpo(0), "num_pairs must be a whole number of at least 1 or inf; got 0"),
        (lambda: A.on_policy_dpo(10.5), "num_pairs must be a whole number of at least 1 or inf; got 10.5"),
        (lambda: A.on_policy_dpo(1e17), r"num_pairs must be at most 2\^53"),
        (lambda: A.on_policy_dpo(10, ridge=-1.0), "ridge must be non-negative and finite; got -1.0"),
        (lambda: A.on_policy_dpo(10, max_norm=0.0), "max_norm must be positive; got 0.0"),
        (
            lambda: A.on_policy_dpo(10, center="here"),
            "center must be one of 'previous', 'reference'; got 'here'",
        ),
        (
            lambda: A.hybrid_dpo(10, "triple"),
            "scheme must be one of 'paired', 'mixture', 'design'; got 'triple'",
        ),
    ],
)
def test_bad_numbers_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_population_limit_recovers_the_target_in_one_round():
    env = bl.instances.random_features(3, 4, 3)
    run = bl.simulate(A.offline_dpo(float("inf")), env, num_rounds=1, num_seeds=1)
    # Newton stops at a margin change of 1e-5, so its error is of the order 1e-10 and the KL of 1e-20.
    assert run.metrics["kl_target"][0, 0] < 1e-18
    assert np.allclose(run.params[0, 0], env.target_params, atol=1e-9)


def test_offline_after_k_rounds_is_one_data_set_of_k_n_labels():
    env = bl.instances.staircase(2, start=1.0)
    algorithm = A.offline_dpo(100, max_norm=8.0)
    state = algorithm.init(jax.random.key(0), env)
    for k in range(3):
        state, info = jax.jit(algorithm.step)(jax.random.key(k), state, env)
    assert float(state.wins.sum()) == 300
    refit = bl.estimators.fit(env, state.wins, max_norm=8.0)
    assert np.allclose(refit.params, state.params, atol=1e-8)
    assert int(info.num_labels) == 100


def test_refreshing_the_sampler_is_not_refreshing_the_reference():
    env = bl.instances.staircase(2, start=1.0)
    run = bl.simulate(A.on_policy_dpo(1e10), env, num_rounds=4, num_seeds=4)
    # theta_hat has standard deviation sqrt(C_F / n) or less along V*, about 1e-4 here; 1e-2 is far outside.
    assert np.allclose(run.params[:, -1], env.target_params, atol=1e-2)
    wanted = float(bl.metrics.kl_reference(env, env.log_target))
    assert np.allclose(run.metrics["kl_reference"][:, -1], wanted, rtol=1e-2)


def test_no_informative_pair_keeps_the_parameters():
    # A sampler that has become deterministic shows only self-pairs.
    env = bl.instances.chain(start=800.0)
    run = bl.simulate(A.on_policy_dpo(50), env, num_rounds=2, num_seeds=3)
    assert (run.params == 800.0).all()


def test_hybrid_computes_the_joint_design_when_none_is_given():
    env = bl.instances.random_features(2, 3, 2)
    given = bl.simulate(A.hybrid_dpo(60, design=bl.designs.joint(env), ridge=0.1), env, num_rounds=2, num_seeds=4)
    computed = bl.simulate(A.hybrid_dpo(60, ridge=0.1), env, num_rounds=2, num_seeds=4)
    # The design is found inside another program, so to rounding only; a flipped draw would show as a jump.
    assert np.allclose(given.metrics["kl_target"], computed.metrics["kl_target"], rtol=1e-6)
