"""The fuzzer sees what is wrong, and finds nothing in the library."""

import inspect
import os
import sys
import time
from typing import NamedTuple

import fuzz
import fuzz_calls
import fuzz_judge
import numpy as np
import pytest


class Flagged(NamedTuple):
    """A result with a status."""

    value: float
    converged: bool


def example(amount, other=0.0):
    """A number, whatever is asked for."""
    wanted = {
        "named": ValueError("amount must be positive; got 0"),
        "unnamed": ValueError("amounts must be positive"),
        "other": TypeError("other must be a number"),
        "inside": IndexError("amount: list index out of range"),
    }.get(amount)
    if wanted:
        raise wanted
    if amount == "die":
        os._exit(3)
    if amount == "sleep":
        while True:
            other += time.monotonic()
    if amount == "eat":
        held = np.ones(2**33, np.uint8)
        return float(held[0]) + other
    return {"nan": np.nan, "inf": np.inf, "lost": Flagged(np.nan, False), "kept": Flagged(np.nan, True)}.get(
        amount, 1.0
    )


def documented(amount):
    """A number, or inf."""
    del amount
    return np.inf


def call(text, *, hostile="amount", right="", function=example):
    name = f"test_fuzz.{function.__name__}"
    names = tuple(inspect.signature(function).parameters)
    return fuzz_calls.Call(name, f"{name}({text})", f"{name}({right or text})", hostile, names)


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (call("'named'"), fuzz_judge.REFUSED),
        (call("'unnamed'"), fuzz_judge.FAILURE),
        (call("'other'", right="1.0"), fuzz_judge.FAILURE),
        (call("'other', other=1", hostile="other"), fuzz_judge.REFUSED),
        (call("'other'"), fuzz_judge.ODD),
        (call("'named'", hostile=""), fuzz_judge.ODD),
        (call("'inside'"), fuzz_judge.FAILURE),
        (call("1.0"), fuzz_judge.FINITE),
        (call("'nan'"), fuzz_judge.FAILURE),
        (call("'inf'"), fuzz_judge.FAILURE),
        (call("'inf', other=1e308"), fuzz_judge.OVERFLOW),
        (call("1.0", function=documented), fuzz_judge.DOCUMENTED),
        (call("'lost'"), fuzz_judge.FLAGGED),
        (call("'kept'"), fuzz_judge.FAILURE),
        (call("1 / 0"), fuzz_judge.NO_CALL),
    ],
)
def test_what_comes_of_a_call_is_judged(made, outcome):
    assert fuzz_judge.outcome(made, {})[0] == outcome


def test_every_public_callable_is_called_or_left_out_with_a_reason():
    found = fuzz_calls.targets()
    assert len(found) > 220
    assert all(fuzz_calls.LEFT_OUT.values())
    for target, function in found.items():
        assert inspect.unwrap(fuzz_calls.find(target)) is inspect.unwrap(function)


def test_calls_are_the_same_for_a_seed_and_the_first_is_right():
    first, again, other = (fuzz_calls.drawn(40, seed, ["metrics"]) for seed in (0, 0, 1))
    assert first == again != other
    assert first[0].hostile == ""
    assert first[0].text == first[0].right


@pytest.mark.slow
def test_a_call_that_dies_hangs_or_eats_the_memory_is_a_failure(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 2.0)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*sys.path]))
    found = list(fuzz.judged([call("'die'"), call("'sleep'"), call("'eat'"), call("1.0")]))
    assert [verdict.outcome for verdict in found] == [fuzz_judge.FAILURE] * 3 + [fuzz_judge.FINITE]
    assert [verdict.detail for verdict in found[:3]] == [
        "ended the process (3)",
        "took more than 2 s",
        "held more than 4 GiB",
    ]


@pytest.mark.slow
def test_every_array_may_be_traced_or_is_refused_by_its_name():
    calls = [
        c for target, function in fuzz_calls.targets().items() for c in fuzz_calls.traced(target, function, "LINEAR")
    ]
    failures = [v for v in fuzz.judged(calls) if v.outcome == fuzz_judge.FAILURE]
    assert len(calls) > 150
    assert not failures, fuzz.summary(failures, 0)


@pytest.mark.slow
def test_a_thousand_calls_find_nothing():
    failures = [v for v in fuzz.judged(fuzz_calls.drawn(1000, 0)) if v.outcome == fuzz_judge.FAILURE]
    assert not failures, fuzz.summary(failures, 0)
