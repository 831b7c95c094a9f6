"""Training the didactic MLP: seconds per seed against plain NumPy, one state at a time, and what Adam's traffic takes.

Batches of 10 states with 10 draws each. Ours runs all the steps named; the reference runs a few of one seed, less the
time of a run of one step, and is scaled. Both run in turn on the same machine in the same process.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, PartitionSpec

from banditlab.didactic import policies, problem, training
from banditlab.didactic.settings import Settings
from banditlab.numerics import compilation
from benchmarks import didactic_reference, timing

NUM_STATES, NUM_SAMPLES, LEARNING_RATE, TARGET = 10, 10, 1e-3, 1.0
# (algorithm, on-policy, steps of a run, seeds of ours, steps of the reference measured)
CASES = (("best_of_n", True, 1500, 8, 20), ("ipo", False, 200, 32, 2))
_ADAM_STEPS = 200
# Bytes of float32 that Adam must move per parameter: gradient, moments and parameter in, the last three out.
_BYTES = 4 * 7


def speeds(repeats: int = 2) -> list[dict[str, object]]:
    """One row per case: seconds per seed of both, and the rate of Adam's least traffic, in GB/s, in the run and alone.

    Alone is a loop of nothing but the same optimiser on arrays of the same shapes, on as many devices: the limit that
    the machine and the compiler set.
    """
    limit = _adam_alone(repeats)
    return [_case(*case, limit=limit, repeats=repeats) for case in CASES]


def _case(
    algorithm: str, on_policy: bool, num_steps: int, seeds: int, measured: int, *, limit: float, repeats: int
) -> dict[str, object]:
    bandit = problem.problem(70.0)
    settings = Settings(learning_rate=LEARNING_RATE, ipo_target=TARGET)

    def ours() -> float:
        run = training.train(
            algorithm,
            policies.mlp(),
            bandit,
            num_steps=num_steps,
            num_states=NUM_STATES,
            num_samples=NUM_SAMPLES,
            on_policy=on_policy,
            seeds=seeds,
            settings=settings,
        )
        return float(run["reward"][:, -1].mean())

    # The difference of two runs of the loop is free of its start.
    short, long = (functools.partial(_reference, algorithm, steps) for steps in (1, 1 + measured))
    timed, first, last = timing.interleaved([ours, short, long], repeats)
    reference = (last.minimum - first.minimum) / measured * num_steps
    per_seed = timed.minimum / seeds
    traffic = _BYTES * _num_params() * num_steps / per_seed / 1e9
    return {
        "case": f"{algorithm}, {'on-policy' if on_policy else 'offline'}, {num_steps} steps",
        "seeds": seeds,
        "ours_s": per_seed,
        "reference_s": reference,
        "ratio": reference / per_seed,
        "adam_gb_s": traffic,
        "adam_alone_gb_s": limit,
        "share_of_limit": traffic / limit,
        "first_call_s": timed.first,
    }


def _reference(algorithm: str, num_steps: int) -> float:
    """A run of the NumPy loop."""
    bandit = problem.problem(70.0)
    options = {"num_states": NUM_STATES, "num_samples": NUM_SAMPLES, "learning_rate": LEARNING_RATE, "seed": 0}
    if algorithm == "ipo":
        options["target"] = TARGET
    loop = getattr(didactic_reference, algorithm)
    return loop(np.asarray(bandit.reward), np.asarray(bandit.log_reference), num_steps=num_steps, **options)


def _adam_alone(repeats: int) -> float:
    """GB/s of Adam's least traffic when every device steps one network and nothing else."""
    scale = optax.scale_by_adam()
    mesh = jax.make_mesh((jax.local_device_count(),), ("devices",), axis_types=(AxisType.Auto,))

    each = PartitionSpec("devices")

    @compilation.streaming
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=each, out_specs=each, check_vma=False)
    def loop(keys):
        params = policies.mlp().init(jax.random.wrap_key_data(keys[0]), problem.problem())
        with jax.numpy_dtype_promotion("standard"):

            def step(_, state):
                params, gradient, moments = state
                direction, moments = scale.update(gradient, moments)
                params = jax.tree.map(lambda p, d: p - jnp.float32(LEARNING_RATE) * d, params, direction)
                return params, gradient, moments

            return jax.lax.fori_loop(0, _ADAM_STEPS, step, (params, params, scale.init(params)))[0]

    devices = jax.local_device_count()
    keys = np.arange(2 * devices, dtype=np.uint32).reshape(devices, 2)
    (timed,) = timing.interleaved([lambda: loop(keys)], 5 * repeats)
    return _BYTES * _num_params() * _ADAM_STEPS * devices / timed.minimum / 1e9


def _num_params() -> int:
    bandit = problem.problem()
    shapes = jax.eval_shape(lambda: policies.mlp().init(jax.random.key(0), bandit))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
