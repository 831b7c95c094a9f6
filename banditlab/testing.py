"""The contract of an algorithm, as a check that users run on their own: `banditlab.testing.check_algorithm`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import instances
from banditlab.algorithms.base import Algorithm
from banditlab.environment import Environment
from banditlab.estimators import Status
from banditlab.running.simulation import simulate, simulate_grid

__all__ = ["check_algorithm"]

# Sums of A exponentials, and one program on several lanes against one lane: rounding and where an iteration stops.
_NORMALISED = 1e-12
_ROUNDING = 1e-6
# Keys that are tried for a difference.
_TRIALS = 4


def check_algorithm(algorithm: Algorithm, env: Environment | None = None, *, num_rounds: int = 2) -> None:
    """Assert that `algorithm` keeps the contract of `banditlab.Algorithm` on `env` (three small instances if None).

    - Every numeric leaf is an array, the real ones float64, so that other values of them compile nothing anew.
    - A step keeps the structure, shapes and dtypes of the state, and reports a `RoundInfo`.
    - The policy after every round is (S, A) log-probabilities that sum to 1 in every context.
    - Parameters are finite, or the status of the round says that they are not; no metric is nan.
    - A round buys labels: `num_labels` is positive, and the setting `num_pairs` where there is one.
    - A step is a pure function of key, state and environment: again, and from a copy of the state, it does the same.
    - No key is used twice, and rounds differ: with fresh keys, two rounds do not end where one does.
    - Many runs side by side are the same as one after the other, bitwise in `simulate` and to rounding under `vmap`.

    Args:
        num_rounds: rounds of the runs, at least 2.

    Raises:
        AssertionError: saying which clause is broken.
    """
    _check_leaves(algorithm)
    for instance in (
        (instances.chain(), instances.staircase(3, start=1.0), instances.random_features(3, 4, 2))
        if env is None
        else (env,)
    ):
        _check_step(algorithm, instance)
        ready = algorithm.prepare(instance)
        _check_rounds(ready, instance, num_rounds)
        _check_keys(ready, instance)
        _check_lanes(ready, instance)
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


def _check_rounds(algorithm: Algorithm, env: Environment, num_rounds: int) -> None:
    """Single steps: policies, labels, purity."""

    @jax.jit
    def step(algorithm: Algorithm, key: jax.Array, state: Any, env: Environment) -> Any:
        following, info = algorithm.step(key, state, env)
        return following, info, algorithm.log_policy(following, env)

    keys = jax.random.split(jax.random.key(7), num_rounds + 1)
    state = algorithm.init(keys[0], env)
    _check_policy(algorithm.log_policy(state, env), "at the start")
    for number, key in enumerate(keys[1:], 1):
        following, info, log_policy = step(algorithm, key, state, env)
        _check_policy(log_policy, f"after round {number}")
        finite = all(bool(np.isfinite(leaf).all()) for leaf in _numbers(following.params))
        flagged = int(info.status) == Status.nonfinite
        _claim(finite or flagged, f"params must be finite, or the status nonfinite; after round {number} neither is so")
        _check_labels(algorithm, float(info.num_labels))
        copied = jax.tree.map(_copied, state)
        _claim(
            _equal(step(algorithm, key, copied, env)[0], following), "step must do the same from a copy of the state"
        )
        others = [step(algorithm, jax.random.fold_in(key, other), state, env)[0] for other in range(_TRIALS)]
        uses_key = not all(_equal(other, following) for other in others)
        _claim(uses_key or np.isinf(float(info.num_labels)), "step must draw its labels with its key; none changed it")
        moved = not _equal(following, state)
        _claim(moved or np.isinf(float(info.num_labels)), f"round {number} must change the state; it did not")
        state = following


def _check_policy(log_policy: Any, when: str) -> None:
    totals = np.exp(np.asarray(log_policy)).sum(axis=1)
    _claim(
        np.allclose(totals, 1.0, rtol=0, atol=_NORMALISED),
        f"log_policy must be normalised, sum to 1 in every context; {when} the sums are {totals}",
    )


def _check_labels(algorithm: Algorithm, bought: float) -> None:
    _claim(bought > 0, f"every round must buy labels; got num_labels = {bought}")
    settings = algorithm.settings
    if isinstance(settings, dict) and np.ndim(settings.get("num_pairs", np.zeros(1))) == 0:
        wanted = float(settings["num_pairs"])
        _claim(bought == wanted, f"num_labels must be the labels bought, dropped ones included: {wanted}; got {bought}")


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
    labels = few.metrics["num_labels"]
    _claim(((labels[:, 1:] > labels[:, :-1]) | np.isinf(labels[:, 1:])).all(), "every round must buy labels")


def _check_keys(algorithm: Algorithm, env: Environment) -> None:
    """JAX's own checker of keys, on one step."""
    with jax.debug_key_reuse(True):
        try:
            key_init, key_step = jax.random.split(jax.random.key(3))
            algorithm.step(key_step, algorithm.init(key_init, env), env)
        except jax.errors.KeyReuseError as error:
            raise AssertionError(f"no key must be used twice: {str(error).splitlines()[0]}") from error


def _check_lanes(algorithm: Algorithm, env: Environment) -> None:
    """A step under `vmap` against single ones."""
    keys = jax.random.split(jax.random.key(5), 3)

    def once(key: jax.Array) -> jax.Array:
        key_init, key_step = jax.random.split(key)
        state, _ = algorithm.step(key_step, algorithm.init(key_init, env), env)
        return algorithm.log_policy(state, env)

    together, alone = np.exp(jax.jit(jax.vmap(once))(keys)), np.exp(np.stack([jax.jit(once)(key) for key in keys]))
    apart = np.abs(together - alone).max()
    _claim(apart < _ROUNDING, f"a step under vmap must be the same as alone; probabilities differ by {apart:.1e}")


def _numbers(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if _is_real(leaf)]


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)


def _copied(leaf: Any) -> Any:
    """A leaf by way of the host, as a checkpoint would keep it."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(
            jnp.asarray(np.asarray(jax.random.key_data(leaf))), impl=jax.random.key_impl(leaf)
        )
    return jnp.asarray(np.asarray(leaf))


def _equal(one: Any, other: Any) -> bool:
    """Whether two states are the same to the bit; nan equals nan."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(_data(a).tobytes() == _data(b).tobytes() for a, b in pairs)


def _data(leaf: Any) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _shapes(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return [(leaf.shape, str(leaf.dtype)) for leaf in leaves], structure


def _claim(holds: bool | np.bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def __dir__() -> list[str]:
    return __all__
