"""The process-wide JAX settings of the command, the benchmarks and the tests; importing the library sets none."""

import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path

import jax

from banditlab.errors import shown
from banditlab.numerics import compilation

_DIGITS = 3


def configure(cache: Path | None = None) -> None:
    """Set the device count, the compilation cache and the log level, before the JAX backend starts.

    - On the CPU, one device per usable core; BANDITLAB_DEVICES overrides the count.
    - Compiled programs are kept in ``cache``, by default in the user's cache folder, and nowhere when that is not
      writable; JAX_COMPILATION_CACHE_DIR overrides it.
    - XLA compiles everything with the library's `compilation.OPTIONS`, unless XLA_FLAGS names them.
    - JAX's remark that a GPU was not found is silenced; its errors are not.

    Calling it again is harmless. Raises ValueError for a BANDITLAB_DEVICES that is not a positive integer below 1000,
    and JAX's RuntimeError when the backend already runs with another number of devices.
    """
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    flags = os.environ.get("XLA_FLAGS", "")
    unnamed = [f"--{name}={str(on).lower()}" for name, on in compilation.OPTIONS.items() if name not in flags]
    os.environ["XLA_FLAGS"] = " ".join([*flags.split(), *unnamed])  # read when the backend starts
    wanted = num_devices()
    if "cpu" in (os.environ.get("JAX_PLATFORMS") or "cpu") and jax.config.values["jax_num_cpu_devices"] != wanted:
        jax.config.update("jax_num_cpu_devices", wanted)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        folder = user_cache() if cache is None else cache
        if _writable(folder):
            jax.config.update("jax_compilation_cache_dir", str(folder))
    # Every program is kept, however small and quick: an experiment's first call is made of many of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def user_cache() -> Path:
    """The folder of compiled programs of claims outside a checkout."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "banditlab" / "jax"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def num_devices() -> int:
    """Number of CPU devices wanted: BANDITLAB_DEVICES, or the cores that this process may use."""
    wanted = os.environ.get("BANDITLAB_DEVICES")
    if wanted is None:
        return usable_cores()
    if not (wanted.isdecimal() and len(wanted) <= _DIGITS and int(wanted) > 0):
        raise ValueError(f"BANDITLAB_DEVICES must be a positive integer below 10^{_DIGITS}; got {shown(wanted)}")
    return int(wanted)


def usable_cores() -> int:
    """Cores that this process may use; a container or `taskset` can make it fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_device() -> dict[str, str | int]:
    """The facts on the device that go into a provenance record; starts the backend."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "device": devices[0].device_kind,
        "num_devices": len(devices),
        "dtype": jax.numpy.zeros(()).dtype.name,
    }


def describe_machine() -> dict[str, str | int]:
    """Operating system, processor and usable cores, for a provenance record."""
    return {"os": platform.platform(), "cpu": _processor(), "cores": usable_cores()}


def circumstances() -> dict[str, str]:
    """What decides the numbers besides sources and configuration; a shard is reused only where all of it is equal."""
    device = describe_device()
    flags = (flag for flag in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in flag)
    settings = ("jax_default_matmul_precision", "jax_default_prng_impl", "jax_disable_most_optimizations")
    return {
        "precision": str(device["dtype"]),
        "platform": str(device["platform"]),
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "xla_flags": " ".join(sorted(flags)),
        **{name: str(jax.config.values[name]) for name in settings},
    }


def _processor() -> str:
    """Name, family and model of the processor, and the widest vectors it adds up in: what rounding depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), platform.machine())
    known = [f"{label} {facts[label]}" for label in ("cpu family", "model") if label in facts]
    return ", ".join([facts.get("model name", platform.machine()), *known, vectors])
