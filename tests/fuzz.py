"""Call every public function with right and with hostile arguments, and say what came of it.

`python tests/fuzz.py [--calls 10000] [--seed 0] [--workers 1] [--only WORD ...]` prints a summary; `--call
'EXPRESSION'` repeats one call. Right is an error that names the argument, a ValueError, TypeError or CommandLineError;
or numbers that are finite or flagged. A call has 20 seconds of processor time and 4 GiB; a process that dies or goes
beyond is a failure.

The memory is what the process holds, watched from outside: XLA reserves address space that it never uses, so that a
limit on addresses (RLIMIT_AS) or on data segments would end calls that hold little.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import multiprocessing
import os
import queue
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fuzz_calls
import fuzz_judge

SECONDS, WALL_SECONDS, BYTES = 20.0, 120.0, 4 * 2**30
START_SECONDS = 120.0
# A process keeps every program that it compiled; with more than this it is replaced.
KEPT = 3 * 2**29


class Verdict(NamedTuple):
    """What came of a call: one of `fuzz_judge.OUTCOMES`, and what was said or found."""

    call: fuzz_calls.Call
    outcome: str
    detail: str


class Worker:
    """A process that makes calls; started anew after it died."""

    def __init__(self) -> None:
        self.process: multiprocessing.process.BaseProcess | None = None
        self.pipe: Connection | None = None

    def judge(self, call: fuzz_calls.Call) -> Verdict:
        """Make a call, within the limits."""
        if self.process is None:
            self._start()
        pipe, pid = self.pipe, self.process.pid
        pipe.send(call)
        began, used = time.monotonic(), _processor_seconds(pid)
        while not pipe.poll(0.02):
            over = _processor_seconds(pid) - used > SECONDS or time.monotonic() - began > WALL_SECONDS
            fault = f"took more than {SECONDS:g} s" if over else None
            fault = "held more than 4 GiB" if _bytes_held(pid) > BYTES else fault
            fault = f"ended the process ({self.process.exitcode})" if not self.process.is_alive() else fault
            if fault:
                self.stop()
                return Verdict(call, "failure", fault)
        try:
            verdict = Verdict(call, *pipe.recv())
        except EOFError:
            self.process.join()
            verdict = Verdict(call, "failure", f"ended the process ({self.process.exitcode})")
            self.stop()
        if self.process is not None and _bytes_held(self.process.pid) > KEPT:
            self.stop()
        return verdict

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=fuzz_judge.serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        if not self.pipe.poll(START_SECONDS) or self.pipe.recv() != "ready":
            raise RuntimeError("a worker did not start")


def judged(calls: Iterable[fuzz_calls.Call], workers: int = 1) -> Iterator[Verdict]:
    """What comes of each call, in the order of the calls, by so many processes side by side."""
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for _ in range(workers):
        idle.put(Worker())

    def judge(call: fuzz_calls.Call) -> Verdict:
        worker = idle.get()
        try:
            return worker.judge(call)
        finally:
            idle.put(worker)

    try:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            yield from pool.map(judge, calls)
    finally:
        for _ in range(workers):
            idle.get().stop()


def summary(verdicts: Sequence[Verdict], seed: int) -> str:
    """Counts by outcome, and a line to repeat every failure."""
    counts = collections.Counter(verdict.outcome for verdict in verdicts)
    names = {verdict.call.target for verdict in verdicts}
    hostile = sum(bool(verdict.call.hostile) for verdict in verdicts)
    lines = [
        f"{len(verdicts)} calls of {len(names)} public callables, seed {seed}: {hostile} with one hostile argument",
        *(f"{counts[outcome]:7d}  {outcome}" for outcome in fuzz_judge.OUTCOMES),
        *("", "Not called:"),
        *(f"  {name}: {why}" for name, why in fuzz_calls.LEFT_OUT.items()),
    ]
    failures = [verdict for verdict in verdicts if verdict.outcome == "failure"]
    lines += ["", "Failures:"] if failures else []
    for verdict in failures:
        lines += [f'  python tests/fuzz.py --hostile "{verdict.call.hostile}" --call "{verdict.call.text}"']
        lines += [f"    {verdict.detail}"]
    return "\n".join(lines)


def _processor_seconds(pid: int) -> float:
    """Seconds of processor time of a process; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _bytes_held(pid: int) -> int:
    """Resident bytes of a process; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> int:
    """The command; 1 if a call failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    parser.add_argument("--only", nargs="*", default=[], help="words of the names of callables")
    parser.add_argument("--call", help="repeat one call")
    parser.add_argument("--hostile", default="", help="which argument of the call is not right")
    options = parser.parse_args()
    if options.call:
        target = options.call.partition("(")[0]
        names = [p.name for p in fuzz_calls.parameters(target, fuzz_calls.find(target))]
        calls = [fuzz_calls.Call(target, options.call, options.call, options.hostile, tuple(names))]
    else:
        calls = fuzz_calls.drawn(options.calls, options.seed, options.only)
    verdicts = []
    for number, verdict in enumerate(judged(calls, options.workers)):
        verdicts.append(verdict)
        if number % 1000 == 999:
            print(f"{number + 1} calls", file=sys.stderr, flush=True)
        if verdict.outcome == "failure" or options.call:
            print(f"{number}: {verdict.outcome}: {verdict.call.text}: {verdict.detail}", file=sys.stderr, flush=True)
    print(summary(verdicts, options.seed))
    return int(any(verdict.outcome == "failure" for verdict in verdicts))


if __name__ == "__main__":
    raise SystemExit(main())
