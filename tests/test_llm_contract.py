"""Every method of the language model keeps the contract of a method; a new one is a row of BATTERY."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_tables import EVALUATOR, KEY, MODEL, REFERENCE, SIZES, TASK, equal

from banditlab.llm import algorithms

COMPILED = "/jax/core/compile/backend_compile_duration"
NUM_ROUNDS = 3
# name -> (the method, the same with other numbers, pairs bought after each of three rounds of SIZES)
EVERY_ROUND, ONCE = (128, 256, 384), (128, 128, 128)
BATTERY = {
    "offline_dpo": lambda: (algorithms.offline_dpo(), algorithms.offline_dpo(), EVERY_ROUND),
    "on_policy_dpo": lambda: (algorithms.on_policy_dpo(), algorithms.on_policy_dpo(), EVERY_ROUND),
    "hypo": lambda: (algorithms.hypo(0.1), algorithms.hypo(0.3), ONCE),
    "reward_distillation": lambda: (
        algorithms.reward_distillation(noise=0.2),
        algorithms.reward_distillation(noise=0.4),
        EVERY_ROUND,
    ),
    "hybrid_dpo": lambda: (
        algorithms.hybrid_dpo(num_candidates=4),
        algorithms.hybrid_dpo(num_candidates=4),
        EVERY_ROUND,
    ),
}
# Float32 logits: sums of four exponentials; and two rounds of eight steps of Adam of 0.05, each divided by the root of
# the second moment: a rounding of 6e-8 of the largest gradient is 1e-4 of a step where gradients are 1e-3 of it.
NORMALISED, ROUNDING = 1e-6, 1e-4


def run(step, method, key=KEY, *, rounds=NUM_ROUNDS, state=None, **changes):
    """The states and metrics of some rounds."""
    state = algorithms.init(method, MODEL, REFERENCE, TASK, key) if state is None else state
    for _ in range(rounds):
        state, metrics = step(method, MODEL, REFERENCE, TASK, EVALUATOR, key, state, **(SIZES | changes))
        yield state, metrics


def check(method, other, bought, step=algorithms.step):
    """Assert every clause; messages name it."""
    course = list(run(step, method))
    for number, (state, metrics) in enumerate(course, 1):
        totals = np.exp(np.asarray(MODEL.log_prob_table(state.params), float)).sum(axis=-1)
        assert np.allclose(totals, 1, rtol=0, atol=NORMALISED), f"policy of round {number} must be normalised"
        finite = [np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((state.params, metrics))]
        assert all(finite), f"params and metrics of round {number} must be finite"
        assert int(metrics["num_labels"]) == bought[number - 1], "num_labels must be the labels bought"
        assert int(state.number) == number, "rounds must be counted"
    assert not same(course[1][0].params, course[0][0].params), "two rounds must differ from one"
    restarted = list(run(step, method, state=jax.tree.map(copied, course[0][0]), rounds=2))
    assert same(restarted[-1], course[-1]), "a restart from a saved state must go on to the same bits"
    assert same(list(run(step, method))[-1], course[-1]), "a round must be a pure function of key and state"
    fresh = list(run(step, method, jax.random.key(6)))
    assert not same(fresh[0][0].params, course[0][0].params), "labels must be drawn with the key"
    keys = jax.random.split(KEY, 2)

    def last(key):
        return list(run(step, method, key, rounds=2))[-1][0].params

    together, alone = jax.vmap(last)(keys), jnp.stack([last(key) for key in keys])
    assert np.allclose(together, alone, rtol=0, atol=ROUNDING), "runs side by side must be those one by one"
    with jax.debug_key_reuse(True):
        try:
            list(run(step, method, jax.random.key(3), rounds=1))
        except jax.errors.KeyReuseError as error:
            raise AssertionError("no key must be used twice") from error
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    list(run(step, other, jax.random.key(9), learning_rate=0.02))
    assert COMPILED not in compiled, "other numbers must compile nothing"


def same(first, second):
    try:
        equal(first, second)
    except AssertionError:
        return False
    return True


def copied(leaf):
    return jnp.asarray(np.asarray(leaf))


def test_every_method_is_in_the_battery():
    assert set(BATTERY) == set(algorithms.METHODS)


@pytest.fixture(autouse=True)
def _listeners_end():
    yield
    jax.monitoring.clear_event_listeners()


@pytest.mark.parametrize("name", BATTERY)
def test_contract(name):
    check(*BATTERY[name]())


def broken(change):
    """A step whose (state, metrics) went through `change(before, state, metrics, key)`."""

    def step(method, model, reference, task, evaluator, key, state, **sizes):
        after, metrics = algorithms.step(method, model, reference, task, evaluator, key, state, **sizes)
        return change(state, after, metrics, key)

    return step


def moved(state, by):
    return state._replace(params=state.params + by)


calls = []


def counted(_):
    calls.append(None)
    return np.float32(len(calls))


@jax.custom_batching.custom_vmap
def lane(params):
    return params


@lane.def_vmap
def _(size, batched, params):
    return params + 0.1, batched[0]


def reused(before, state, metrics, key):
    return moved(state, 1e-3 * (jax.random.normal(key) + jax.random.normal(key)).astype(jnp.float32)), metrics


BROKEN = {
    "must be finite": broken(
        lambda before, state, metrics, key: (state, metrics | {"loss": metrics["loss"] * jnp.nan})
    ),
    "num_labels must be": broken(
        lambda before, state, metrics, key: (state, metrics | {"num_labels": 2 * metrics["num_labels"]})
    ),
    "rounds must be counted": broken(
        lambda before, state, metrics, key: (state._replace(number=before.number), metrics)
    ),
    "two rounds must differ": broken(
        lambda before, state, metrics, key: (
            state._replace(params=jnp.where(before.number > 0, before.params, state.params)), metrics
        )
    ),
    "a restart from a saved state": broken(
        lambda before, state, metrics, key: (
            moved(state, jax.pure_callback(counted, jnp.zeros((), jnp.float32), before.number)), metrics
        )
    ),
    "labels must be drawn with the key": lambda method, model, reference, task, evaluator, key, state, **sizes: (
        algorithms.step(method, model, reference, task, evaluator, jax.random.key(0), state, **sizes)
    ),
    "runs side by side": broken(
        lambda before, state, metrics, key: (state._replace(params=lane(state.params)), metrics)
    ),
    "no key must be used twice": broken(reused),
    "other numbers must compile nothing": broken(
        lambda before, state, metrics, key: (moved(state, jax.jit(lambda: jnp.zeros((), jnp.float32))()), metrics)
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", BROKEN)
def test_the_battery_fails_on_every_clause(message):
    with pytest.raises(AssertionError, match=message):
        check(*BATTERY["on_policy_dpo"](), step=BROKEN[message])


def test_the_battery_fails_on_a_policy_that_is_not_normalised(monkeypatch):
    table = type(MODEL).log_prob_table
    monkeypatch.setattr(type(MODEL), "log_prob_table", lambda self, params: table(self, params) + 0.1)
    with pytest.raises(AssertionError, match="must be normalised"):
        check(*BATTERY["on_policy_dpo"]())
