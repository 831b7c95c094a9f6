"""What the results depend on outside the sources: interpreter, packages against the lock, device, folders."""

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from banditlab.claims.jax_settings import describe_device, usable_cores
from banditlab.claims.registry import checkout
from banditlab.claims.verification import Verdict, judged
from banditlab.errors import CommandLineError, require_writable

_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)


def examine(output: Path) -> Iterator[Verdict]:
    """One verdict per thing looked at; a failed one says what to do."""
    yield judged(sys.version_info >= (3, 11), f"python {platform.python_version()} (3.11 or newer)")
    if folder := checkout():
        yield _against_lock(folder / "locks" / "py{}{}.txt".format(*sys.version_info[:2]))
    device = describe_device()
    yield Verdict("pass", f"device {device['num_devices']} x {device['device']} ({device['platform']})")
    yield Verdict("pass", f"cores {usable_cores()} usable by this process")
    yield judged(device["dtype"] == "float64", f"precision {device['dtype']} (results are float64)")
    if cache := jax.config.values["jax_compilation_cache_dir"]:
        yield _writable("compilation cache", Path(str(cache)))
    else:
        yield Verdict("pass", "compilation cache: none, its folder is not writable; first calls compile anew")
    yield _writable("output", output)


def mismatches(lock: str) -> tuple[int, list[str]]:
    """Packages of the lock's text that are installed, and those installed in another version than it pins.

    A package that is not installed is no mismatch: the lock covers every platform and extra.
    """
    found, wrong = 0, []
    for name, pinned in _PINNED.findall(lock):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        found += 1
        if installed != pinned:
            wrong.append(f"{name} {installed} (lock: {pinned})")
    return found, wrong


def _against_lock(lock: Path) -> Verdict:
    if not lock.is_file():
        return Verdict("FAIL", f"lock {lock.name} is not there: no lock for this Python; `make PYTHON=...`")
    found, wrong = mismatches(lock.read_text())
    if wrong:
        return Verdict("FAIL", f"lock {lock.name}: {', '.join(wrong)}; run `make clean env`")
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy", "scipy"))
    return Verdict("pass", f"lock {lock.name}: {found} installed packages match, among them {packages}")


def _writable(what: str, folder: Path) -> Verdict:
    try:
        require_writable(what, folder)
    except CommandLineError as error:
        return Verdict("FAIL", str(error))
    return Verdict("pass", f"{what} {folder} is writable")
