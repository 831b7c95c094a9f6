"""Plant single faults, one at a time, in a copy of the tree, and see which the named tests notice: `make mutants`.

A fault is a file, a text that stands in it exactly once, what to write there, and the test files that should see it.
`python tests/mutants.py [WORD ...]` plants those whose name or file holds a word; the report goes to standard output.
"""

import os
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


def main(words: list[str]) -> int:
    """Plant the chosen faults; 0 when all are noticed."""
    chosen = [one for one in faults() if not words or any(word in one.name or word in one.file for word in words)]
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            source = CHECKOUT / name
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tree / name, ignore=ignored) if source.is_dir() else shutil.copy(
                source, tree / name
            )
        for fault in chosen:
            begun = time.monotonic()
            seen = noticed(fault, tree)
            missed += [] if seen else [fault.name]
            print(f"{'caught' if seen else 'MISSED'}  {fault.name} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} caught" + (f"; missed: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
