"""Jobs of an experiment two at a time: compiling a program, and most of what runs, keeps a single core busy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

WORKERS = 2
Result = TypeVar("Result")


def side_by_side(jobs: Sequence[Callable[[], Result]], programs: Sequence[Hashable] | None = None) -> list[Result]:
    """What every job returns, in their order, WORKERS at a time.

    Args:
      jobs: functions without arguments, started in this order as far as `programs` allow.
      programs: of every job what it compiles, or None. Jobs of one program wait until the first of them is done, so
        that nothing is compiled twice; those that wait for nobody go on meanwhile.

    Raises the first error of a job, once the jobs under way have ended; no other is started then.

    Example:
      >>> side_by_side([lambda: 1, lambda: 2])
      [1, 2]
    """
    queue = _Queue(jobs, [None] * len(jobs) if programs is None else programs)
    with ThreadPoolExecutor(WORKERS) as pool:
        for worker in [pool.submit(queue.work) for _ in range(min(WORKERS, len(jobs)))]:
            worker.result()
    if queue.error is not None:
        raise queue.error
    return [queue.results[place] for place in range(len(jobs))]


class _Queue(Generic[Result]):
    def __init__(self, jobs: Sequence[Callable[[], Result]], programs: Sequence[Hashable]) -> None:
        if len(jobs) != len(programs):
            raise ValueError(f"programs must be one for each of {len(jobs)} jobs; got {len(programs)}")
        self._jobs, self._programs = jobs, programs
        self._waiting = list(range(len(jobs)))
        self._begun: set[Hashable] = set()
        self._compiled: set[Hashable] = {None}
        self._changed = threading.Condition()
        self.results: dict[int, Result] = {}
        self.error: BaseException | None = None

    def work(self) -> None:
        """Take jobs that may start until none is left, or one has failed."""
        while (place := self._take()) is not None:
            try:
                self.results[place] = self._jobs[place]()
            except BaseException as error:
                with self._changed:
                    self.error = self.error or error
                    self._changed.notify_all()
                return
            with self._changed:
                self._compiled.add(self._programs[place])
                self._changed.notify_all()

    def _take(self) -> int | None:
        with self._changed:
            while self._waiting and self.error is None:
                for place in self._waiting:
                    program = self._programs[place]
                    if program in self._compiled or program not in self._begun:
                        self._begun.add(program)
                        self._waiting.remove(place)
                        return place
                self._changed.wait()
        return None
