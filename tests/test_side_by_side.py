"""Jobs side by side: in order, two at a time, no program compiled twice, the first error raised."""

import threading
import time

import pytest

from banditlab.claims.side_by_side import WORKERS, side_by_side


def test_results_come_in_the_order_of_the_jobs():
    assert side_by_side([lambda value=value: time.sleep(0.01 * (3 - value)) or value for value in range(4)]) == [
        0,
        1,
        2,
        3,
    ]
    assert side_by_side([]) == []


def test_never_more_than_two_are_under_way_and_two_are():
    under_way, most, lock = 0, 0, threading.Lock()
    meeting = threading.Barrier(WORKERS, timeout=10)

    def job(first):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        if first:
            meeting.wait()
        time.sleep(0.005)
        with lock:
            under_way -= 1

    side_by_side([lambda place=place: job(place < WORKERS) for place in range(9)])
    assert most == WORKERS


def test_jobs_of_one_program_wait_for_its_first_and_others_do_not():
    seen, released = [], threading.Event()

    def first():
        assert released.wait(10)  # set by a job that waits for nobody
        seen.append("first")

    jobs = [first, *(lambda name=name: seen.append(name) for name in ("second", "third")), released.set]
    side_by_side(jobs, ["a", "a", "a", None])
    assert seen[0] == "first"
    assert sorted(seen) == ["first", "second", "third"]


def test_the_first_error_is_raised_and_nothing_starts_after_it():
    started = []

    def fail():
        raise ArithmeticError("of the job")

    with pytest.raises(ArithmeticError, match="of the job"):
        side_by_side([fail, *(lambda place=place: started.append(place) for place in range(100))], ["a"] * 101)
    assert not started
    with pytest.raises(ValueError, match="programs must be one for each of 1 jobs; got 2"):
        side_by_side([fail], ["a", "b"])
