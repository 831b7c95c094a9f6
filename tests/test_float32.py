"""BANDITLAB_PRECISION=float32: the same code proves nothing false, and refuses what it cannot count."""

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent

PROGRAMS = {
    "runs": """
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
""",
    # Comparisons among three of four actions in three dimensions: a direction is never shown, no optimum is unique.
    "proves nothing false": """
import jax, jax.numpy as jnp, numpy as np, banditlab as bl
fit = jax.jit(bl.estimators.fit)
found = []
for seed in range(100):
    try:
        env, rng = bl.instances.random_features(1, 4, 3, seed=seed), np.random.default_rng(seed)
    except ValueError as error:  # squares of float32 numbers do not tell all directions of all draws apart
        assert "squares of float32 numbers lose 1 of the 3 directions" in str(error), error
        continue
    wins = rng.integers(5, 50, (1, 4, 4)) * (1 - np.eye(4))
    found.append(int(fit(env, jnp.asarray(wins, np.float32)).existence))
    wins[:, 3], wins[:, :, 3] = 0, 0
    fitted = fit(env, jnp.asarray(wins, np.float32))
    assert fitted.existence != bl.Existence.exists, seed
    assert np.isinf(bl.theory.label_price(env, jnp.asarray(wins / wins.sum(), np.float32))), seed
assert found.count(int(bl.Existence.exists)) > 90 and int(bl.Existence.separable) not in found, found
assert len(found) >= 95, len(found)
for name in bl.designs.__all__:
    make = getattr(bl.designs, name)
    if name in ("triple", "joint", "conditional_pairs", "conditional_nodes", "d_optimal", "l_optimal"):
        design = make(bl.instances.random_features(2, 4, 3), max_steps=50)
        assert not design.converged and 1e-6 < design.duality_gap < 1e-4, (name, design.duality_gap)
        assert make(bl.instances.random_features(2, 4, 3), gap=1e-3).converged, name
""",
    "overflows where float32 does": """
import jax.numpy as jnp, numpy as np, banditlab as bl
for target, params in ((100.0, -100.0), (1.0, 60.0), (1.0, 200.0), (1.0, 1e30)):
    low, high = bl.theory.kl_bounds(bl.instances.chain(target), jnp.asarray([params], np.float32))
    assert not np.isnan(low) and not np.isnan(high) and low <= high, (target, params, low, high)
    # The chain's osc is |theta - theta*|, and e^88 is just below the largest number.
    assert np.isinf(high) == (abs(target - params) > 88), (target, params, high)
assert not np.isnan(bl.theory.recursion(bl.instances.staircase(3), 80.0, 10.0, 4)).any()
env = bl.instances.partial_coverage(4, 1.0)
assert np.isfinite(bl.samplers.mix_p(env, env.log_reference)).all()
assert np.isfinite(bl.theory.offline_lower_bound(bl.instances.staircase(3), 100.0, 1.0))
""",
    "keeps the contract": """
import banditlab as bl
bl.testing.check_algorithm(bl.algorithms.on_policy_dpo(50, ridge=0.1), bl.instances.chain())
""",
    "knows what is in the class": """
import numpy as np, banditlab as bl
rng = np.random.default_rng(0)
features = rng.normal(size=(3, 5, 2))
reward = features @ [0.3, -1.0]
inside = bl.Environment.create(features, reward=reward.astype(np.float32))
assert inside.realizable and inside.replace(beta=0.5).realizable
assert not bl.Environment.create(features, reward=reward + 1e-3 * rng.normal(size=(3, 5))).realizable
table = bl.instances.tabular(rng.normal(size=(2, 3)), np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
assert bl.policies.kl(table, table.log_policy(table.start_params), table.log_reference) < 1e-6
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_float32_lane(name):
    environment = {**os.environ, "BANDITLAB_PRECISION": "float32", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    words = [sys.executable, "-c", PROGRAMS[name]]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_existence.py", "test_identities.py", "test_impossible_contexts.py"])
def test_what_holds_in_float64_holds_in_float32(name):
    """Certificates and identities, with tolerances that count roundings of the precision."""
    environment = {**os.environ, "BANDITLAB_PRECISION": "float32"}
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(HERE / name)]
    done = subprocess.run(words, env=environment, cwd=HERE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
