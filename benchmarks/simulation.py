"""A seed-round of on-policy DPO against the plain NumPy and SciPy reference, one seed and one label row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

import banditlab as bl
from benchmarks import reference
from benchmarks.timing import interleaved

# (name, environment, labels per round, rounds, seeds of ours, seeds of the reference, repeats, wanted ratio)
CASES: tuple[tuple[str, Any, float, int, int, int, int, float], ...] = (
    ("staircase, 6 stairs", bl.instances.staircase, 800, 8, 1024, 12, 7, 90),
    ("random (8, 10, 4)", bl.instances.random_features, 1_000, 8, 1024, 12, 7, 35),
    ("random (8, 10, 4)", bl.instances.random_features, 100_000, 8, 512, 1, 3, 400),
)
RIDGE = 1.0
MEASURED = ("kl_target", "gap")  # what the reference measures


def ratios() -> list[dict[str, Any]]:
    """One row per case: microseconds per seed-round of both, minimum and median, and their ratio."""
    rows = []
    for name, make, labels, rounds, ours_seeds, theirs_seeds, repeats, wanted in CASES:
        env = make()

        def ours(env=env, labels=labels, rounds=rounds, seeds=ours_seeds):
            algorithm = bl.algorithms.on_policy_dpo(labels, ridge=RIDGE)
            return bl.simulate(
                algorithm, env, num_rounds=rounds, num_seeds=seeds, metrics=MEASURED, record_params=False
            )

        def theirs(env=env, labels=labels, rounds=rounds, seeds=theirs_seeds):
            return [_reference(env, int(labels), rounds, seed) for seed in range(seeds)]

        fast, slow = interleaved([ours, theirs], repeats)
        scale = {"ours": 1e6 / (rounds * ours_seeds), "reference": 1e6 / (rounds * theirs_seeds)}
        rows.append(
            {
                "case": name,
                "labels": labels,
                "first_call_s": fast.first,
                "ours_us": fast.minimum * scale["ours"],
                "ours_median_us": fast.median * scale["ours"],
                "reference_us": slow.minimum * scale["reference"],
                "ratio": slow.minimum * scale["reference"] / (fast.minimum * scale["ours"]),
                "wanted": wanted,
            }
        )
    return rows


def flatness() -> list[dict[str, Any]]:
    """The cost of a seed-round against the number of labels, relative to a million."""
    env = bl.instances.random_features()
    sizes = (1e6, 1e9, 1e12)

    def run(labels: float):
        algorithm = bl.algorithms.on_policy_dpo(labels, ridge=RIDGE)
        return bl.simulate(algorithm, env, num_rounds=8, num_seeds=512, metrics=MEASURED, record_params=False)

    timings = interleaved([lambda labels=labels: run(labels) for labels in sizes], 5)
    base = timings[0].minimum
    scale = 1e6 / (8 * 512)
    return [
        {"labels": labels, "ours_us": t.minimum * scale, "relative": t.minimum / base, "wanted": 1.2}
        for labels, t in zip(sizes, timings, strict=True)
    ]


def _reference(env: bl.Environment, labels: int, rounds: int, seed: int) -> dict[str, np.ndarray]:
    return reference.simulate(
        np.asarray(env.features),
        np.asarray(env.target_params),
        np.asarray(env.log_reference),
        np.asarray(env.context_probs),
        float(env.beta),
        sampler="on_policy",
        num_pairs=labels,
        num_rounds=rounds,
        ridge=RIDGE,
        initial_params=None if env.initial_params is None else np.asarray(env.initial_params),
        rng=np.random.default_rng(seed),
    )
