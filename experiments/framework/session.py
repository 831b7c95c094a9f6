"""The process-wide JAX settings of the command line, the benchmarks and the tests; the library sets none."""

import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path

import jax

from banditlab import compilation
from experiments import CHECKOUT


def configure() -> None:
    """Set the device count, the compilation cache and the log level, before the JAX backend starts.

    - On the CPU, one device per usable core; BANDITLAB_DEVICES overrides the count.
    - Compiled programs are kept in ``.jax_cache`` of the checkout; JAX_COMPILATION_CACHE_DIR overrides it.
    - XLA compiles everything with the library's `compilation.OPTIONS`, unless XLA_FLAGS names them.
    - JAX's remark that a GPU was not found is silenced; its errors are not.

    Calling it again is harmless. Raises ValueError for a BANDITLAB_DEVICES that is not a positive integer,
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
        jax.config.update("jax_compilation_cache_dir", str(CHECKOUT / ".jax_cache"))
    # Every program is kept, however small and quick: an experiment's first call is made of many of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def num_devices() -> int:
    """Number of CPU devices wanted: BANDITLAB_DEVICES, or the cores that this process may use."""
    wanted = os.environ.get("BANDITLAB_DEVICES")
    if wanted is None:
        return usable_cores()
    if not wanted.isdecimal() or int(wanted) == 0:
        raise ValueError(f"BANDITLAB_DEVICES must be a positive integer; got {wanted!r}")
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
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
