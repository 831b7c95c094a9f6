"""Plant single faults, one at a time, in a copy of the tree, and see which the named tests notice: `make mutants`.

A fault is a file, a text that stands in it exactly once, what to write there, and the test files that should see it.
`python tests/mutants.py [WORD ...]` plants those whose name or file holds a word, all without one. tests/mutants.txt keeps
what came of every fault when it was planted last.
"""

import concurrent.futures
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent
COPIED = ("banditlab", "experiments", "benchmarks", "tests", "docs", "figures", "pyproject.toml", "README.md")
LIMIT = 600  # seconds that the tests of one fault may take
AT_ONCE = 2  # copies of the tree, each with one fault at a time
REPORT = CHECKOUT / "tests/mutants.txt"


class Fault(NamedTuple):
    """One planted fault."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def faults() -> list[Fault]:
    """The list in tests/mutants.toml; ValueError for a text that is not found exactly once, so that it cannot rot."""
    found = [
        Fault(fault["name"], fault["file"], fault["old"], fault["new"], tuple(fault["tests"]))
        for fault in tomllib.loads((CHECKOUT / "tests/mutants.toml").read_text())["fault"]
    ]
    for fault in found:
        count = (CHECKOUT / fault.file).read_text().count(fault.old)
        if count != 1:
            raise ValueError(
                f"old of {fault.name!r} must stand exactly once in {fault.file}; it stands there {count} times"
            )
        if missing := [name for name in fault.tests if not (CHECKOUT / "tests" / name.partition("::")[0]).is_file()]:
            raise ValueError(f"tests of {fault.name!r} must be files in tests; got {', '.join(missing)}")
    if len({fault.name for fault in found}) < len(found):
        raise ValueError("name must differ between faults; got one twice")
    return found


def noticed(fault: Fault, tree: Path) -> bool:
    """Whether a test of `fault` fails with it planted in `tree`, which is left as it was."""
    path = tree / fault.file
    text = path.read_text()
    path.write_text(text.replace(fault.old, fault.new))
    names = [str(tree / "tests" / name) for name in fault.tests]
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", *names]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return True  # an endless loop is noticed
    finally:
        path.write_text(text)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests of {fault.name!r} did not run: {done.stdout.decode()[-400:]}")
    return done.returncode == 1


def copy_tree(tree: Path) -> None:
    """What the tests read, in an empty folder."""
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)


def report(seen: dict[str, bool]) -> None:
    """The outcome of every fault's last planting, if each was planted at all."""
    lines = REPORT.read_text().splitlines()[2:] if REPORT.exists() else []
    known = {line[8:].rpartition("  (")[0]: line.startswith("caught") for line in lines} | seen
    listed = faults()
    if all(one.name in known for one in listed):
        rows = [f"{'caught' if known[one.name] else 'MISSED'}  {one.name}  ({one.file})" for one in listed]
        caught = sum(known[one.name] for one in listed)
        first = f"{caught} of {len(listed)} faults caught by tests that `make test` runs"
        REPORT.write_text("\n".join([first, "", *rows, ""]))


def main(words: list[str]) -> int:
    """Plant the chosen faults; 0 when at least 95 in 100 are noticed."""
    chosen = [one for one in faults() if not words or any(word in one.name or word in one.file for word in words)]
    begun, seen, trees = time.monotonic(), {}, queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for place in range(AT_ONCE):
            trees.put(tree := Path(folder, str(place)))
            tree.mkdir()
            copy_tree(tree)

        def plant(fault: Fault) -> tuple[Fault, bool]:
            tree = trees.get()
            try:
                return fault, noticed(fault, tree)
            finally:
                trees.put(tree)

        for done in concurrent.futures.as_completed([pool.submit(plant, fault) for fault in chosen]):
            fault, found = done.result()
            seen[fault.name] = found
            print(f"{len(seen):3d}  {'caught' if found else 'MISSED'}  {fault.name}", flush=True)
    missed = [fault.name for fault in chosen if not seen[fault.name]]
    share = f"{len(chosen) - len(missed)} of {len(chosen)} faults caught"
    print(f"{share} in {(time.monotonic() - begun) / 60:.0f} minutes")
    report(seen)
    return 0 if len(missed) <= 0.05 * len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
