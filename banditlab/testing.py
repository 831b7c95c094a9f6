"""The contract of an algorithm, as a check that users run on their own: `banditlab.testing.check_algorithm`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import instances
from banditlab.algorithms.base import Algorithm
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import Status
from banditlab.numerics import compilation, key_records, tolerances
from banditlab.running.simulation import simulate, simulate_grid

__all__ = ["check_algorithm"]

# Sums of A exponentials, and one program on several lanes against one lane: rounding and where an iteration stops.
_NORMALISED = 1e-12
_ROUNDING = 1e-6
# Keys that are tried for a difference.
_TRIALS = 4


@door
def check_algorithm(algorithm: Algorithm, env: Environment | None = None, *, num_rounds: int = 2) -> None:
    """Assert that `algorithm` keeps the contract of `banditlab.Algorithm` on `env` (three small instances if None).

    - Every numeric leaf is an array, the real ones float64, so that other values of them compile nothing anew.
    - A step keeps the structure, shapes and dtypes of the state, and reports a `RoundInfo`.
    - The policy after every round is (S, A) log-probabilities that sum to 1 in every context.
    - Parameters are finite, or the status of the round says that they are not; no metric is nan.
    - A round buys labels: `num_labels` is positive, and the setting `num_pairs` where there is one.
    - A step is a pure function of key, state and environment: again, traced again, and from a copy of the state, it
      does the same.
    - No key is drawn from twice, or drawn from and split, in two rounds (keys that stay keys: their data taken out and
      wrapped again are not followed). Rounds differ: with fresh keys, two rounds do not end where one does.
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
    state = _called("init", jax.eval_shape, algorithm.init_fn, algorithm, jax.random.key(0), env)
    _claim(hasattr(state, "params"), f"the state must have params, as an attribute; got {type(state).__name__}")
    table = _called("log_policy", jax.eval_shape, algorithm.policy_fn, algorithm, state, env)
    wanted = (env.num_contexts, env.num_actions)
    _claim(
        getattr(table, "shape", None) == wanted, f"log_policy must be {wanted}; got {getattr(table, 'shape', table)}"
    )
    _claim(table.dtype == jnp.result_type(float), f"log_policy must be {jnp.result_type(float)}; got {table.dtype}")
    result = _called("step", jax.eval_shape, algorithm.step_fn, algorithm, jax.random.key(1), state, env)
    pair = isinstance(result, tuple) and len(result) == 2
    _claim(pair, f"step must return the state and a RoundInfo; got {type(result).__name__}")
    following, info = result
    _claim(
        _shapes(state) == _shapes(following),
        f"step must keep the state's structure; {_shapes(state)} became {_shapes(following)}",
    )
    for name, dtype in (
        ("num_labels", jnp.result_type(float)),
        ("status", jnp.int8),
        ("existence", jnp.int8),
    ):
        field: Any = getattr(info, name, None)
        _claim(hasattr(field, "dtype"), f"step must report {name}, as RoundInfo does; got {field!r}")
        _claim(
            (field.shape, field.dtype) == ((), dtype),
            f"{name} must be () of {jnp.dtype(dtype)}; got {field.shape} of {field.dtype}",
        )
    arguments = algorithm, jax.random.key(1), state, env
    first, second = (str(jax.make_jaxpr(lambda *given: algorithm.step_fn(*given))(*arguments)) for _ in range(2))
    _claim(first == second, "step must be pure: traced again, it is another program")


def _check_rounds(algorithm: Algorithm, env: Environment, num_rounds: int) -> None:
    """Single steps: policies, labels, purity."""

    def played(algorithm: Algorithm, key: jax.Array, state: Any, env: Environment) -> Any:
        following, info = algorithm.step(key, state, env)
        return following, info, algorithm.log_policy(following, env)

    step = compilation.outermost(played, optimized=False)

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
        np.allclose(totals, 1.0, rtol=0, atol=tolerances.at_least(_NORMALISED, totals.dtype, 64)),
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
    """Two rounds with keys that note their uses."""
    two = compilation.outermost(_two_rounds, optimized=False)
    with key_records.recording() as uses:
        jax.block_until_ready(two(algorithm, key_records.key(3), env))
    drawn = [use.data for use in uses if use.what == "draw"]
    _claim(len(drawn) == len(set(drawn)), "no key must be used twice; one was drawn from twice")
    split = {use.data for use in uses if use.what == "split"}
    _claim(not split & set(drawn), "no key must be used twice; one was split and drawn from")


def _check_lanes(algorithm: Algorithm, env: Environment) -> None:
    """Two rounds under `vmap` against single runs."""
    keys = jax.random.split(jax.random.key(5), 3)
    one = compilation.outermost(_two_rounds, optimized=False)
    side_by_side = compilation.outermost(jax.vmap(_two_rounds, in_axes=(None, 0, None)), optimized=False)
    together, alone = side_by_side(algorithm, keys, env), [one(algorithm, key, env) for key in keys]
    for name, many, few in zip(("probabilities", "params"), together, zip(*alone, strict=True), strict=True):
        pairs = zip(_numbers(many), _numbers(jax.tree.map(lambda *leaves: jnp.stack(leaves), *few)), strict=True)
        allowed = tolerances.at_least(_ROUNDING, jnp.result_type(float), 2**13)
        apart = max((float(np.max(_apart(*pair), initial=0.0)) for pair in pairs), default=0.0)
        _claim(
            apart < allowed,
            f"rounds under vmap must be the same as alone; {name} differ by {apart:.1e}",
        )


def _two_rounds(algorithm: Algorithm, key: jax.Array, env: Environment) -> tuple[jax.Array, Any]:
    """Probabilities and parameters after two rounds."""
    key_init, key_first, key_second = jax.random.split(key, 3)
    state = algorithm.init(key_init, env)
    for key_step in (key_first, key_second):
        state, _ = algorithm.step(key_step, state, env)
    return jnp.exp(algorithm.log_policy(state, env)), state.params


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference relative to one and to the size of the numbers; none where both are the same, nan too."""
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, np.abs(one - other) / np.maximum(1.0, np.abs(one)))


def _called(what: str, call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        raise AssertionError(
            f"{what} must run on {arguments[-1]!r}; it raised {type(error).__name__}: {error}"
        ) from error


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
