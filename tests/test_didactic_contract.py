"""Every loss of the didactic bandits keeps the contract of a loss; a new one is a row of BATTERY."""

import itertools

import jax
import numpy as np
import pytest

from banditlab.didactic import losses, policies, training
from banditlab.didactic import problem as bandit
from banditlab.didactic import run as one_run
from banditlab.didactic.settings import Settings
from banditlab.estimators import Status

COMPILED = "/jax/core/compile/backend_compile_duration"
PROBLEM = bandit.problem(70.0, 10.0)
SIZES = {"num_states": 3, "num_samples": 4, "num_steps": 6, "record_at": (0, 1, 2, 6), "record_policy": True}
# name -> (settings, the same with other numbers)
BATTERY = {
    "awr": (Settings(beta=0.3), Settings(beta=0.5, weight_cap=5.0)),
    "best_of_n": (Settings(), Settings()),
    "best_of_n_negative": (Settings(negative_weight=0.2), Settings(negative_weight=0.0)),
    "best_of_n_worst": (Settings(negative_weight=0.2), Settings(negative_weight=0.3)),
    "dpo": (Settings(beta=0.5), Settings(beta=0.1, threshold=0.01)),
    "ipo": (Settings(ipo_target=1.0), Settings(ipo_target=0.1)),
    "ppo": (Settings(clip=0.1), Settings(clip=np.inf, entropy=0.1)),
    "pref_ft": (Settings(), Settings(threshold=0.01)),
    "reinforce": (Settings(kl_weight=0.1), Settings(entropy=0.2)),
    "reinforce_running": (Settings(kl_weight=0.1), Settings(entropy=0.2)),
    "rwr": (Settings(beta=0.3), Settings(beta=0.5, weight_cap=5.0)),
}
# Sums of 100 exponentials; and, of one program for many lanes and one for a single lane, six steps of Adam of 0.1, each
# divided by the root of the second moment: a rounding of 1e-16 of the largest gradient is 1e-10 of a step where
# gradients are 1e-6 of it, and such a step moves log pi by as much.
NORMALISED, ROUNDING = 1e-12, 1e-9


def check(name, settings, other, *, on_policy, train=training.train):
    """Assert every clause; messages name it."""
    labelled = {"label_mode": "bradley_terry"} if losses.ALGORITHMS[name].uses_labels else {}
    given = SIZES | labelled | {"on_policy": on_policy, "settings": settings._replace(learning_rate=0.1), "seeds": 3}

    def run(**changes):
        return train(name, policies.tabular(), PROBLEM, **(given | changes))

    found = run()
    log_policy = found["log_policy"]
    totals = np.exp(log_policy).sum(axis=-1)
    assert np.allclose(totals, 1, rtol=0, atol=NORMALISED), "policies must be normalised at every record"
    assert np.allclose(log_policy[:, 0], PROBLEM.log_reference, atol=1e-12), "runs must start at the reference"
    finite = np.all([np.isfinite(found[column]).all(axis=1) for column in ("reward", "kl_target")], axis=0)
    flagged = found["status"] == Status.nonfinite
    assert (finite & ~flagged).all(), "numbers must be finite; and the status must not say otherwise"
    asked = [0, 12, 24, 72] if on_policy else [12, 12, 12, 12]
    assert found["num_queries"].tolist() == asked, "num_queries must be the rewards asked for"
    moved = [not np.array_equal(log_policy[0, a], log_policy[0, b]) for a, b in itertools.pairwise(range(4))]
    assert all(moved), "two steps must differ from one, and one from none"
    shorter = run(num_steps=2, record_at=(0, 1, 2))
    assert np.array_equal(shorter["log_policy"], log_policy[:, :3]), "a longer run must go on where a shorter ended"
    assert np.array_equal(run()["log_policy"], log_policy), "a run must be a pure function of its seed"
    assert not np.array_equal(run(seed=1)["log_policy"], log_policy), "batches must be drawn with the seed"
    assert len({row.tobytes() for row in log_policy}) == 3, "seeds must differ"
    assert np.array_equal(run(seeds=1)["log_policy"], log_policy[:1]), "a seed must not depend on how many run"
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    run(settings=other._replace(learning_rate=0.2), seed=5)
    assert COMPILED not in compiled, "other numbers must compile nothing"


def alone(name, settings):
    """log_policy (R, A) of the first seed, by the function of one run that nothing batches."""
    labelled = "bradley_terry" if losses.ALGORITHMS[name].uses_labels else "deterministic"
    options = one_run.Options(name, policies.tabular(), 3, 4, 3, 0, True, labelled, False, 500, True)
    schedule = one_run.Schedule(np.int32([0, 1, 2, 6]), np.int32(1), np.int32(1))
    key = np.random.SeedSequence((0, 0)).generate_state(2)
    numbers = Settings(*(np.float64(value) for value in settings._replace(learning_rate=0.1)))
    features, evaluation = np.zeros((100, 0)), np.zeros((1, 0))
    with jax.debug_key_reuse(True):
        found = jax.jit(one_run.run, static_argnums=6)(
            key, PROBLEM, numbers, features, evaluation, schedule, options
        )  # fmt: skip
    return found["log_policy"]


@pytest.fixture(autouse=True)
def _listeners_end():
    yield
    jax.monitoring.clear_event_listeners()


def test_every_loss_is_in_the_battery():
    assert set(BATTERY) == set(losses.ALGORITHMS)


@pytest.mark.parametrize("on_policy", [True, False], ids=["on-policy", "offline"])
@pytest.mark.parametrize("name", BATTERY)
def test_contract(name, on_policy):
    check(name, *BATTERY[name], on_policy=on_policy)


@pytest.mark.parametrize("name", BATTERY)
def test_runs_side_by_side_are_runs_one_by_one_and_use_no_key_twice(name):
    settings = BATTERY[name][0]
    labelled = {"label_mode": "bradley_terry"} if losses.ALGORITHMS[name].uses_labels else {}
    given = SIZES | labelled | {"on_policy": True, "settings": settings._replace(learning_rate=0.1), "seeds": 3}
    together = training.train(name, policies.tabular(), PROBLEM, **given)["log_policy"][0]
    np.testing.assert_allclose(alone(name, settings), together, rtol=0, atol=ROUNDING)


def changed(column, change):
    """`training.train` whose `column` went through `change(value, options)`."""

    def train(*arguments, **options):
        found = training.train(*arguments, **options)
        return found | {column: change(found[column], options)}

    return train


calls = itertools.count()
BROKEN = {
    "must be normalised": changed("log_policy", lambda value, options: value + 0.1),
    "must start at the reference": changed("log_policy", lambda value, options: np.roll(value, 1, axis=1)),
    "must be finite": changed("reward", lambda value, options: value * np.nan),
    "status must not say otherwise": changed("status", lambda value, options: value * 0 + Status.nonfinite),
    "num_queries must be": changed("num_queries", lambda value, options: value + 1),
    "two steps must differ": changed("log_policy", lambda value, options: value[:, [0, 1, 1, 3][: value.shape[1]]]),
    "a longer run must go on": changed(
        "log_policy", lambda value, options: value if options["num_steps"] > 2 else value[:, :, ::-1]
    ),
    "pure function of its seed": changed("log_policy", lambda value, options: value + 1e-14 * (next(calls) == 2)),
    "drawn with the seed": lambda *arguments, **options: training.train(*arguments, **(options | {"seed": 0})),
    "seeds must differ": changed("log_policy", lambda value, options: np.broadcast_to(value[:1], value.shape)),
    "not depend on how many run": changed("log_policy", lambda value, options: value[::-1]),
    "must compile nothing": changed(
        "reward", lambda value, options: np.asarray(jax.jit(lambda x: x + 0.0)(value))
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", BROKEN)
def test_the_battery_fails_on_every_clause(message):
    with pytest.raises(AssertionError, match=message):
        check("best_of_n", *BATTERY["best_of_n"], on_policy=True, train=BROKEN[message])
