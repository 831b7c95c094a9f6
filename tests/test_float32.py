"""The float32 lane: BANDITLAB_PRECISION=float32 runs the same code, and refuses what it cannot count."""

import os
import subprocess
import sys

PROGRAM = """
import numpy as np, banditlab as bl
env = bl.instances.staircase(2, start=1.0)
run = bl.simulate(bl.algorithms.on_policy_dpo(1e6), env, num_rounds=2, num_seeds=64)
kl = run.metrics["kl_target"]
assert kl.dtype == np.float32 and np.isfinite(kl).all(), kl
predicted = float(bl.theory.predicted_kl(env, bl.samplers.on_policy(env, env.log_target), 1e6))
# d = 2: a mean of 64 has relative standard error 1 / sqrt(64) at most (an exponential law); 4 of them allow a half.
assert 0.5 < kl[:, -1].mean() / predicted < 1.5, (kl[:, -1].mean(), predicted)
try:
    bl.algorithms.on_policy_dpo(1e9)
except ValueError as error:
    assert str(error) == "num_pairs must be at most 2^24 to be counted exactly in float32; got 1000000000.0", error
else:
    raise AssertionError("1e9 labels were accepted")
"""


def test_float32_lane():
    environment = {**os.environ, "BANDITLAB_PRECISION": "float32", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
