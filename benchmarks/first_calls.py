"""First call of every algorithm on the staircase, each in a process of its own: nothing compiled, then all cached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

# Everything at its default, metrics and designs too; the numbers are those that have no default.
CALLS = {
    "offline_dpo": "offline_dpo(800)",
    "on_policy_dpo": "on_policy_dpo(800)",
    "on_policy_dpo, n = 100,000": "on_policy_dpo(100_000)",
    "uniform_dpo": "uniform_dpo(800)",
    "hybrid_dpo, paired": "hybrid_dpo(800)",
    "hybrid_dpo, mixture": "hybrid_dpo(800, 'mixture')",
    "hybrid_dpo, design": "hybrid_dpo(800, 'design')",
    "hypo": "hypo(800, 0.1)",
    "gradient_dpo": "gradient_dpo(800)",
    "reward_distillation": "reward_distillation(800)",
    "rlhf": "rlhf(800, 5.0)",
    "ipo": "ipo(800)",
    "chi_po": "chi_po(800)",
}

_PROGRAM = """
import sys, time
import jax
if sys.argv[1]:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
start = time.perf_counter()
import banditlab as bl
imported = time.perf_counter()
env = bl.instances.staircase()
ready = time.perf_counter()
algorithm = eval("bl.algorithms." + sys.argv[2])
bl.simulate(algorithm, env, num_rounds=8, num_seeds=16)
print([imported - start, time.perf_counter() - ready])
"""


def seconds() -> list[dict[str, object]]:
    """A row per algorithm: seconds of the first call without and with compiled programs in the persistent cache, and
    of `import banditlab` once JAX is imported."""
    return [_row(name, call) for name, call in CALLS.items()]


def _row(name: str, call: str) -> dict[str, object]:
    imported, cold = _measure("", call)
    with tempfile.TemporaryDirectory() as cache:
        _measure(cache, call)  # fills it
        _, cached = _measure(cache, call)
    return {
        "algorithm": name,
        "cold_s": cold,
        "cold_wanted_s": 6.0 if "100_000" in call else 3.0,
        "cached_s": cached,
        "cached_wanted_s": 1.5,
        "import_s": imported,
    }


def _measure(cache: str, call: str) -> list[float]:
    # One device, as in a notebook; this process's flags and cache are not the user's.
    command = [sys.executable, "-c", _PROGRAM, cache, call]
    settings = {
        name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")
    }
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=settings)
    return json.loads(done.stdout)
