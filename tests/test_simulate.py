"""The jit boundary: bitwise the same for any schedule, one trace for any numbers, errors at the door."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import banditlab as bl
from banditlab.algorithms.base import Algorithm
from banditlab.didactic import policies, problem, training
from benchmarks import reference

ENV = bl.instances.staircase(3, start=1.0)

PROGRAM = """
import sys, json, hashlib
from banditlab.claims import jax_settings
jax_settings.configure()
import jax, numpy as np, banditlab as bl
env = bl.instances.staircase(3, start=1.0)
run = bl.simulate(bl.algorithms.on_policy_dpo(300, ridge=0.1), env, num_rounds=3, num_seeds=300, seed=5)
rng = np.random.default_rng(0)
bandit = bl.instances.tabular(rng.standard_normal((1, 20)))
curves = bl.trajectories.paths(
    bandit, rng.random((70, 1, 20, 20)), record_at=[5, 50], step_size=0.5, penalty=0.1, kl="rloo", num_samples=2
)
from banditlab.didactic import policies, problem, training
shapes = {"num_steps": 10, "num_states": 4, "num_samples": 3, "on_policy": True}
table = training.train("ipo", policies.tabular(), problem.problem(70.0), seeds=70, **shapes)
network = training.train("ipo", policies.mlp(), problem.problem(70.0), seeds=3, **shapes)
leaves = jax.tree.leaves((run, curves, table, network))
digest = hashlib.sha256(b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in leaves)).hexdigest()
print(json.dumps([len(jax.devices()), digest]))
"""


@pytest.mark.parametrize("numbers", [(1, 8), pytest.param((1, 2, 8), marks=pytest.mark.slow)])
def test_results_are_bitwise_the_same_on_any_number_of_devices(numbers):
    outcomes = []
    for devices in numbers:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "BANDITLAB_DEVICES": str(devices)},
        )
        outcomes.append(json.loads(done.stdout))
    assert [count for count, _ in outcomes] == list(numbers)
    assert len({digest for _, digest in outcomes}) == 1


def test_curves_are_bitwise_the_same_whatever_the_number_of_runs():
    rng = np.random.default_rng(1)
    bandit = bl.instances.tabular(rng.standard_normal((1, 20)))
    wins, betas = rng.random((70, 1, 20, 20)), np.linspace(0.5, 2.0, 70)
    settings = {"record_at": [3, 40], "step_size": 0.5, "penalty": 0.1}
    assert bl.trajectories.block_size(bandit) == 32  # so that 70 runs are three blocks, the last one filled up
    many = bl.trajectories.paths(bandit, wins, beta=betas, **settings)
    for number in (1, 33):
        few = bl.trajectories.paths(bandit, wins[:number], beta=betas[:number], **settings)
        assert all(np.array_equal(few[name], many[name][:number]) for name in many)
    shapes = {"num_steps": 10, "num_states": 4, "num_samples": 3, "on_policy": True}
    for policy, most, least in ((policies.tabular(), 40, 5), (policies.mlp(), 3, 1)):
        whole, part = (
            training.train("ipo", policy, problem.problem(70.0), seeds=seeds, **shapes) for seeds in (most, least)
        )
        assert all(np.array_equal(part[name], whole[name][:least]) for name in ("reward", "kl_target", "status"))


def test_results_are_bitwise_the_same_for_any_block_schedule():
    algorithm = bl.algorithms.hybrid_dpo(200, design=bl.designs.joint(ENV))
    options = {"num_rounds": 2, "seed": 1}
    whole = bl.simulate(algorithm, ENV, num_seeds=200, **options)
    parts = [bl.simulate(algorithm, ENV, num_seeds=50, first_seed=start, **options) for start in range(0, 200, 50)]
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(joined), strict=True))


def test_a_grid_equals_its_settings_one_by_one():
    algorithms = [bl.algorithms.on_policy_dpo(n, ridge=0.5) for n in (150, 200)]
    grid = bl.simulate_grid(algorithms, [ENV, ENV.replace(beta=0.5)], num_rounds=2, num_seeds=20, metrics=("gap",))
    alone = bl.simulate(algorithms[1], ENV.replace(beta=0.5), num_rounds=2, num_seeds=20, metrics=("gap",))
    assert grid.metrics["gap"].shape == (2, 20, 2)
    assert np.array_equal(grid.metrics["gap"][1], alone.metrics["gap"])


@pytest.mark.parametrize("pairs", [range(801, 821), range(100_000, 2_000_000, 100_000)], ids=["direct", "heap"])
def test_numbers_never_retrace(pairs):
    traces = []

    def counting_step(algorithm, key, state, env):
        traces.append(1)
        return base.step_fn(algorithm, key, state, env)

    base = bl.algorithms.on_policy_dpo(801)
    for i, n in enumerate(pairs):
        made = bl.algorithms.on_policy_dpo(n, ridge=0.1 * i)
        wrapped = Algorithm("counted", made.init_fn, counting_step, made.policy_fn, made.settings, made.options)
        bl.simulate(wrapped, ENV.replace(beta=1.0 + 0.1 * i), num_rounds=1, num_seeds=1, metrics=())
    # scan may trace its body more than once while it settles the carry's types; more calls must add nothing.
    assert len(traces) <= 2


def test_seed_zero_is_a_prefix_and_the_seed_matters():
    algorithm = bl.algorithms.offline_dpo(100)
    short = bl.simulate(algorithm, ENV, num_rounds=2, num_seeds=3, metrics=("gap",))
    long = bl.simulate(algorithm, ENV, num_rounds=3, num_seeds=5, metrics=("gap",))
    other = bl.simulate(algorithm, ENV, num_rounds=2, num_seeds=3, seed=1, metrics=("gap",))
    assert np.array_equal(short.metrics["gap"], long.metrics["gap"][:3, :2])
    assert not np.array_equal(short.metrics["gap"], other.metrics["gap"])


def test_record_params_and_metrics_select_what_is_kept():
    algorithm = bl.algorithms.uniform_dpo(100, ridge=0.1)
    run = bl.simulate(algorithm, ENV, num_rounds=2, num_seeds=3, record_params=False, metrics=("gap",))
    assert run.params is None
    assert set(run.metrics) == {"gap", "num_labels", "status"}
    full = bl.simulate(algorithm, ENV, num_rounds=2, num_seeds=3)
    assert full.params.shape == (3, 2, 3)
    assert np.array_equal(full.metrics["num_labels"], np.tile([100.0, 200.0], (3, 1)))
    assert np.allclose(full.initial["kl_target"], bl.metrics.kl_target(ENV, ENV.log_initial), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_rounds": 0}, "num_rounds must be a whole number of at least 1; got 0"),
        ({"num_seeds": 1.5}, "num_seeds must be a whole number of at least 1; got 1.5"),
        ({"metrics": ("kl",)}, "metrics must be among kl_target, .*; got 'kl'"),
    ],
)
def test_bad_numbers_name_the_argument(change, message):
    options = {"num_rounds": 1, "num_seeds": 1} | change
    with pytest.raises(ValueError, match=message):
        bl.simulate(bl.algorithms.offline_dpo(10), ENV, **options)


def test_a_grid_of_different_structure_is_refused():
    algorithms = [bl.algorithms.offline_dpo(10), bl.algorithms.on_policy_dpo(10)]
    with pytest.raises(ValueError, match="must share structure"):
        bl.simulate_grid(algorithms, [ENV], num_rounds=1, num_seeds=1)
    with pytest.raises(ValueError, match="got 2 algorithms and 3 envs"):
        bl.simulate_grid(algorithms, [ENV] * 3, num_rounds=1, num_seeds=1)


@pytest.mark.parametrize(
    ("factory", "options", "ours"),
    [
        ("on_policy", {"pooled": False}, lambda: bl.algorithms.on_policy_dpo(300, ridge=0.5)),
        ("on_policy", {"pooled": True}, lambda: bl.algorithms.on_policy_dpo(300, ridge=0.5, pooled=True)),
        ("offline", {"pooled": True}, lambda: bl.algorithms.offline_dpo(300, ridge=0.5)),
    ],
    ids=["on_policy", "on_policy_pooled", "offline"],
)
def test_medians_agree_with_the_independent_reference(factory, options, ours):
    # Medians of N draws: a binomial argument. With both samples pooled, the share of ours below the pooled median
    # is 1/2 up to sd 1/2 sqrt(1/N_1 + 1/N_2) / sqrt(2) or less; 4 of those is a false alarm of 6e-5.
    ours_n, theirs_n = 2000, 250
    run = bl.simulate(ours(), ENV, num_rounds=3, num_seeds=ours_n, metrics=("kl_target",))
    arrays = [np.asarray(a) for a in (ENV.features, ENV.target_params, ENV.log_reference, ENV.context_probs)]
    theirs = np.stack(
        [
            reference.simulate(
                *arrays, 1.0, sampler=factory, num_pairs=300, num_rounds=3, ridge=0.5,
                initial_params=np.asarray(ENV.initial_params), rng=np.random.default_rng(s), **options,
            )["kl_target"]
            for s in range(theirs_n)
        ]
    )  # fmt: skip
    for k in range(3):
        middle = np.median(theirs[:, k])
        share = (run.metrics["kl_target"][:, k] < middle).mean()
        assert abs(share - 0.5) < 4 * 0.5 * np.sqrt(1 / ours_n + 1 / theirs_n)
