"""The contract of an algorithm, as a check that users run on their own: `banditlab.testing.check_algorithm`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import instances
from banditlab.algorithms.base import Algorithm
from banditlab.environment import Environment
from banditlab.running.simulation import simulate, simulate_grid

__all__ = ["check_algorithm"]


def check_algorithm(algorithm: Algorithm, env: Environment | None = None, *, num_rounds: int = 2) -> None:
    """Assert that `algorithm` keeps the contract of `banditlab.Algorithm` on `env` (three small instances if None).

    Checked: every numeric leaf is a float64 array, so that changing a number does not recompile; a step keeps the
    structure, shapes and dtypes of the state and reports a `RoundInfo`; policies are (S, A) log-probabilities;
    a run is a pure function of its key; nothing turns nan; a seed's result does not depend on how many are run.

    Raises:
        AssertionError: saying which clause is broken.
    """
    for instance in (
        (instances.chain(), instances.staircase(3, start=1.0), instances.random_features(3, 4, 2))
        if env is None
        else (env,)
    ):
        _check_leaves(algorithm)
        _check_step(algorithm, instance)
        _check_runs(algorithm, instance, num_rounds)


def _check_leaves(algorithm: Algorithm) -> None:
    wanted = jnp.result_type(float)
    for path, leaf in jax.tree_util.tree_leaves_with_path(algorithm.settings):
        where = jax.tree_util.keystr(path)
        _claim(isinstance(leaf, jax.Array), f"settings{where} must be an array; got {type(leaf).__name__}")
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            _claim(leaf.dtype == wanted, f"settings{where} must be {wanted}; got {leaf.dtype}")
    hash(algorithm.options)


def _check_step(algorithm: Algorithm, env: Environment) -> None:
    state = jax.eval_shape(algorithm.init, jax.random.key(0), env)
    following, info = jax.eval_shape(algorithm.step, jax.random.key(1), state, env)
    _claim(
        _shapes(state) == _shapes(following),
        f"step must keep the state's structure; {_shapes(state)} became {_shapes(following)}",
    )
    for name, dtype in (
        ("num_labels", jnp.result_type(float)),
        ("status", jnp.int8),
        ("existence", jnp.int8),
    ):
        _claim(hasattr(info, name), f"step must report {name}, as RoundInfo does")
        field = getattr(info, name)
        _claim(
            (field.shape, field.dtype) == ((), dtype),
            f"{name} must be () of {dtype}; got {field.shape} of {field.dtype}",
        )
    _claim(hasattr(state, "params"), "the state must have params")
    table = jax.eval_shape(algorithm.log_policy, state, env)
    wanted = (env.num_contexts, env.num_actions)
    _claim(table.shape == wanted, f"log_policy must be {wanted}; got {table.shape}")


def _check_runs(algorithm: Algorithm, env: Environment, num_rounds: int) -> None:
    few = simulate(algorithm, env, num_seeds=2, num_rounds=num_rounds)
    many = simulate(algorithm, env, num_seeds=3, num_rounds=num_rounds)
    grid = simulate_grid([algorithm, algorithm], [env], num_seeds=2, num_rounds=num_rounds)
    for name, values in few.metrics.items():
        _claim(values.shape == (2, num_rounds), f"{name} must be (num_seeds, num_rounds); got {values.shape}")
        _claim(not np.isnan(values).any(), f"{name} must never be nan")
        _claim(
            np.array_equal(values, many.metrics[name][:2]),
            f"{name} of a seed must not depend on how many seeds run",
        )
        _claim(np.array_equal(values, grid.metrics[name][1]), f"{name} must not depend on the grid it runs in")
    _claim((few.metrics["kl_target"] >= 0).all(), "log_policy must be normalised: a KL came out negative")
    labels = few.metrics["num_labels"]
    _claim(((labels[:, 1:] > labels[:, :-1]) | np.isinf(labels[:, 1:])).all(), "every round must buy labels")
    key = jax.random.key(7)
    state = algorithm.init(key, env)
    totals = np.exp(algorithm.log_policy(state, env)).sum(axis=1)
    _claim(
        np.allclose(totals, 1.0, rtol=0, atol=1e-12),
        f"log_policy must sum to 1 in every context; got {totals}",
    )


def _shapes(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return [(leaf.shape, str(leaf.dtype)) for leaf in leaves], structure


def _claim(holds: bool | np.bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def __dir__() -> list[str]:
    return __all__
