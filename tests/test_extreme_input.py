"""Extreme but legal input all the way through the core: finite numbers or an explicit inf or status, never nan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import banditlab as bl
from banditlab import coverage, theory

INF = np.inf
FEATURES = [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]]
REFERENCE = np.log([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]])


def linear(**changes):
    arguments = {
        "features": FEATURES,
        "target_params": [1.0, -1.0],
        "log_reference": REFERENCE,
        "context_probs": [0.4, 0.6],
        "initial_params": [0.0, 0.0],
    } | changes
    return bl.Environment.create(arguments.pop("features"), **arguments)


# These share one structure, so that they share their compiled programs.
ZERO_MASS = np.log([[0.7, 0.3, 1.0], [0.5, 0.4, 0.1]])
ZERO_MASS[0, 2] = -INF
ONE_HOT = [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]] * 2
NEEDLES = np.log([[1 - 2e-12, 1e-12, 1e-12]] * 2)
LINEAR = {
    "rewards of +-1e3 at beta 1e-3": {"target_params": [1e6, -1e6], "beta": 1e-3},
    "a start far away": {"initial_params": [1e3, -1e3]},
    "hard labels from the wrong end": {"target_params": [1e3, -1e3], "initial_params": [-1e3, 1e3]},
    "an action without reference mass": {"log_reference": ZERO_MASS},
    "the same in the free softmax": {"log_reference": ZERO_MASS, "log_base": np.zeros((2, 3))},
    "an impossible context": {"context_probs": [0.0, 1.0]},
    "needles of mass 1e-12": {"features": ONE_HOT, "log_reference": NEEDLES, "target_params": [27.0, 27.0]},
}
EXTREME = {name: lambda changes=changes: linear(**changes) for name, changes in LINEAR.items()} | {
    "one action": lambda: bl.Environment.create(np.ones((2, 1, 2)), target_params=[1.0, 2.0], unidentified="allow"),
    "equal features": lambda: bl.Environment.create(
        np.ones((2, 2, 1)), reward=[[1e3, -1e3], [0, 1e3]], beta=1e-3, unidentified="allow"
    ),
    "tabular, an action without reference mass": lambda: bl.instances.tabular(
        [[1e3, -1e3, 0.0]], np.append(np.log([0.5, 0.5]), -INF)[None], beta=1e-3
    ).replace(initial_params=np.zeros(3)),
}


@jax.jit
def everything(env):
    """Every number the core can give on `env`: metrics, coverage, theory, draws, fits."""
    params = 0.5 * jnp.ones(env.num_features)

    def of_pairs(pair_law):
        functions = (theory.leverage, theory.label_price, theory.fisher_information)
        return [f(env, pair_law) for f in functions], theory.predicted_kl(env, pair_law, 100.0)

    def of_policy(log_policy):
        laws = [sampler(env, log_policy) for sampler in (bl.samplers.on_policy, bl.samplers.uniform)]
        return (
            bl.metrics.measure(env, log_policy),
            coverage.density_ratio(env, log_policy),
            jax.vmap(of_pairs)(jnp.stack(laws)),
        )

    policies = jnp.stack([env.log_initial, env.log_target, env.log_policy(params)])
    wins = bl.preferences.draw_wins(jax.random.key(0), env, bl.samplers.initial(env, env.log_initial), 50)
    fits = jax.vmap(lambda ridge: bl.estimators.fit(env, wins, ridge=ridge, center=0 * params))(jnp.asarray([0.0, 1.0]))
    predictions = {
        "kl_ball": jax.vmap(lambda radius: coverage.kl_ball(env, radius))(jnp.asarray([0.0, 0.3, INF])),
        "target_leverage": theory.target_leverage(env),
        "statistical_radius": theory.statistical_radius(env),
        "batch_threshold": theory.batch_threshold(env),
        "recursion": theory.recursion(env, 3.0, 100.0, 5),
        "offline_lower_bound": theory.offline_lower_bound(env, 100.0, 1.0),
        "proximity": bl.estimators.proximity(env, wins, params),
    }
    if env.target_params is not None:
        predictions |= {"oscillation": theory.oscillation(env, params), "kl_bounds": theory.kl_bounds(env, params)}
    return jax.vmap(of_policy)(policies), fits, predictions


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_input_gives_numbers_or_an_explicit_infinity_never_nan(name):
    results = everything(EXTREME[name]())
    for path, leaf in jax.tree_util.tree_leaves_with_path(results):
        assert not np.isnan(leaf).any(), jax.tree_util.keystr(path)
    assert np.isfinite(results[1].params).all()


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_input_runs_to_the_end_with_a_status_and_no_nan(name):
    run = bl.simulate(bl.algorithms.on_policy_dpo(50, ridge=0.1), EXTREME[name](), num_rounds=3, num_seeds=4)
    for metric, values in (run.metrics | run.initial).items():
        assert not np.isnan(values).any(), metric
    assert np.isfinite(run.params).all()
    assert set(np.unique(run.metrics["status"])) <= {bl.Status.converged, bl.Status.max_steps}
