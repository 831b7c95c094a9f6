"""Every algorithm keeps the contract; the variants are what their names say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import banditlab as bl
from banditlab import testing

A = bl.algorithms
ENV = bl.instances.random_features(2, 3, 2)
# One row for every name of `algorithms.__all__`: a new algorithm is added here.
BATTERY = {
    "chi_po": lambda: A.chi_po(60, max_norm=5.0),
    "dpo": lambda: A.dpo(bl.samplers.policy_reference, 60, ridge=0.1),
    "gradient_dpo": lambda: A.gradient_dpo(60, num_steps=5),
    "hybrid_dpo": lambda: A.hybrid_dpo(60, ridge=0.1),
    "hypo": lambda: A.hypo(20, 0.1, num_steps=5),
    "ipo": lambda: A.ipo(60),
    "offline_dpo": lambda: A.offline_dpo(60, ridge=0.1),
    "on_policy_dpo": lambda: A.on_policy_dpo(60, ridge=0.1),
    "reward_distillation": lambda: A.reward_distillation(60, noise=0.5, damping=0.7, pooled=True),
    "rlhf": lambda: A.rlhf(60, 2.0),
    "uniform_dpo": lambda: A.uniform_dpo(60, ridge=0.1),
}
# Variants that select other code.
VARIANTS = {
    "on_policy_pooled": lambda: A.on_policy_dpo(60, ridge=0.1, pooled=True),
    "capped_flipped_labels": lambda: A.on_policy_dpo(60, max_norm=5.0, labeller=bl.preferences.flipped(0.1)),
    "unregularised": lambda: A.on_policy_dpo(40),
    "uniform_many": lambda: A.uniform_dpo(10_000),
    "population": lambda: A.offline_dpo(float("inf")),
    "hypo_rloo": lambda: A.hypo(20, 0.1, kl="rloo", num_samples=2, num_steps=5),
    "rlhf_unbounded": lambda: A.rlhf(60),
    "rlhf_rloo": lambda: A.rlhf(60, 2.0, policy="rloo", num_steps=5, max_pairs=10_000),
    "rlhf_reinforce": lambda: A.rlhf(60, 2.0, policy="reinforce", num_steps=5, beta=0.3),
    "hybrid_mixture": lambda: A.hybrid_dpo(60, "mixture", bl.designs.triple(ENV), center="reference"),
    "hybrid_design": lambda: A.hybrid_dpo(60, "design", bl.designs.triple(ENV), ridge=0.1),
}


def test_every_algorithm_is_in_the_battery():
    assert set(BATTERY) == set(A.__all__) - {"Algorithm", "RoundInfo"}


@pytest.mark.parametrize("name", BATTERY)
def test_contract(name):
    testing.check_algorithm(BATTERY[name](), ENV)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_contract_of_variants(name):
    testing.check_algorithm(VARIANTS[name](), ENV)


GOOD = A.on_policy_dpo(50, ridge=0.1)
calls = []


def counted(_):
    calls.append(None)
    return np.float64(len(calls))


@jax.custom_batching.custom_vmap
def alone(params):
    return params


@alone.def_vmap
def _(size, batched, params):
    return params + 0.1, batched[0]


def stepped(change):
    """The good algorithm with `change(state, info)` of what its step returns."""

    def step(algorithm, key, state, env):
        following, info = GOOD.step_fn(algorithm, key, state, env)
        following, info = change(following, info)
        return following._replace(log_policy=env.log_policy(following.params)), info

    return dataclasses.replace(GOOD, step_fn=step)


def with_a_fixed_number(algorithm, key, state, env):
    """Two draws from one derived key: equal numbers folded in."""
    first, second = (jax.random.normal(jax.random.fold_in(key, 1)) for _ in range(2))
    return GOOD.step_fn(algorithm, key, state._replace(params=state.params + 1e-3 * (first - second + 1.0)), env)


def apart_in_the_second_round(state, info):
    """Lanes differ from the second round on, and in the parameters alone."""
    late = jnp.sum(state.wins) > 60.0
    return state._replace(params=jnp.where(late, alone(state.params), state.params)), info


def reusing_its_key(algorithm, key, state, env):
    moved = state._replace(params=state.params + 1e-3 * jax.random.normal(key))
    return GOOD.step_fn(algorithm, key, moved, env)


BROKEN = {
    "normalised, sum to 1 in every context; at the start": dataclasses.replace(
        GOOD, policy_fn=lambda a, state, env: state.log_policy + 1.0
    ),
    "normalised, sum to 1 in every context; after round 1": dataclasses.replace(
        GOOD, policy_fn=lambda a, state, env: state.log_policy + jnp.where(jnp.any(state.wins > 0), 1.0, 0.0)
    ),
    "params must be finite": dataclasses.replace(
        GOOD, step_fn=lambda a, key, state, env: (
            (found := GOOD.step_fn(a, key, state, env))[0]._replace(params=state.params * jnp.nan), found[1]
        ),
    ),
    "num_labels must be the labels bought": stepped(
        lambda state, info: (state, info._replace(num_labels=info.num_labels / 2))
    ),
    "every round must buy labels": stepped(lambda state, info: (state, info._replace(num_labels=0 * info.num_labels))),
    "do the same from a copy of the state": stepped(
        lambda state, info: (
            state._replace(params=state.params + jax.pure_callback(counted, jnp.zeros(()), state.params[0])), info
        ),
    ),
    "draw its labels with its key": dataclasses.replace(
        GOOD, step_fn=lambda a, key, state, env: GOOD.step_fn(a, jax.random.key(0), state, env)
    ),
    "round 1 must change the state": dataclasses.replace(
        GOOD, step_fn=lambda a, key, state, env: (
            jax.tree.map(lambda new, old: jnp.where(jax.random.uniform(key) < 0.7, old, new) if jnp.issubdtype(
                new.dtype, jnp.floating) else new, GOOD.step_fn(a, jax.random.fold_in(key, 1), state, env)[0], state),
            GOOD.step_fn(a, jax.random.fold_in(key, 1), state, env)[1],
        ),
    ),
    "no key must be used twice; one was drawn from twice$": dataclasses.replace(GOOD, step_fn=reusing_its_key),
    "no key must be used twice; one was drawn": dataclasses.replace(GOOD, step_fn=with_a_fixed_number),
    "no key must be used twice; one was split and drawn from": dataclasses.replace(
        GOOD, step_fn=lambda a, key, state, env: GOOD.step_fn(
            a, key, state._replace(params=state.params + 1e-3 * jax.random.normal(jax.random.split(key)[0])), env
        ),
    ),
    "rounds under vmap must be the same as alone; probabilities": stepped(
        lambda state, info: (state._replace(params=alone(state.params)), info)
    ),
    "rounds under vmap must be the same as alone; p": dataclasses.replace(
        A.on_policy_dpo(50, ridge=0.1, pooled=True), step_fn=stepped(apart_in_the_second_round).step_fn
    ),
    "step must be pure: traced again, it is another program": stepped(
        lambda state, info: (state._replace(params=state.params + float(counted(None))), info)
    ),
    "the state must have params, as an attribute; got dict": dataclasses.replace(
        GOOD, init_fn=lambda a, key, env: GOOD.init_fn(a, key, env)._asdict()
    ),
    "step must return the state and a RoundInfo; got State": dataclasses.replace(
        GOOD, step_fn=lambda a, key, state, env: GOOD.step_fn(a, key, state, env)[0]
    ),
    "step must run on .*; it raised TracerArrayConversionError": stepped(
        lambda state, info: (state._replace(params=np.asarray(state.params)), info)
    ),
    "status must be () of int8; got () of int32": stepped(
        lambda state, info: (state, info._replace(status=info.status.astype(jnp.int32)))
    ),
    "ridge.*must be float64; got float32": dataclasses.replace(
        GOOD, settings=GOOD.settings | {"ridge": jnp.float32(0.1)}
    ),
    "step must keep the state's structure": stepped(
        lambda state, info: (state._replace(wins=state.wins.astype(jnp.float32)), info)
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", BROKEN)
def test_the_contract_check_fails_on_every_clause(message):
    with pytest.raises(AssertionError, match=message.replace("()", r"\(\)")):
        testing.check_algorithm(BROKEN[message], bl.instances.chain())


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
