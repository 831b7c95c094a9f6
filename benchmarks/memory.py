"""Peak memory of a large instance, in a process of its own so that nothing else counts."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import json, pathlib, time
from banditlab.claims import jax_settings
jax_settings.configure()
import banditlab as bl
env = bl.instances.random_features(50, 64, 32)
start = time.perf_counter()
bl.simulate(bl.algorithms.on_policy_dpo(1e5, ridge=1.0), env, num_rounds=1, num_seeds=1024)
seconds = time.perf_counter() - start
# Not ru_maxrss, which counts what the parent held when it started this process.
status = pathlib.Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
print(json.dumps({"seconds": seconds, "peak_gib": peak, "wanted_gib": 4.0}))
"""


def peak() -> list[dict[str, float]]:
    """One row: seconds and peak resident memory in GiB of one round of 1024 seeds at (S, A, d) = (50, 64, 32).

    From /proc: Linux only.
    """
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    return [json.loads(done.stdout)]
