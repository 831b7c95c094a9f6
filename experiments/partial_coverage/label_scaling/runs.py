"""Offline DPO on the bandits of `label_scaling`, and the kinds of rows in its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import banditlab as bl
from experiments.partial_coverage.label_scaling.laws import FIXED, label_price, target_params

if TYPE_CHECKING:
    from experiments.partial_coverage.label_scaling.experiment import Config

CURVE, CONSTANT, LIMIT, LAW = "curve", "constant", "limit", "law"


def environment(mass: float, beta: float, target: float) -> bl.Environment:
    """The bandit of Config."""
    reference = np.log([[1 - mass, mass]])
    return bl.Environment.create([[[0.0], [1.0]]], target_params=[target], log_reference=reference, beta=beta)


def simulate(config: Config, settings: list, num_seeds: int, seed: int) -> dict[str, np.ndarray]:
    """Gaps (settings, num_seeds) of offline DPO, and the labels of every setting; one compiled program for all."""
    algorithms, envs, labels = [], [], []
    for regime, beta, mass, amount in settings:
        target = target_params(regime, mass, beta, config.reward)
        unit = 1 / mass if regime == FIXED else label_price(mass, beta, target)
        count = max(1.0, float(round(amount * unit)))
        algorithms.append(bl.algorithms.offline_dpo(count, max_norm=abs(target) + config.margin, max_pairs=1e15))
        envs.append(environment(mass, beta, target))
        labels.append(count)
    run = bl.simulate_grid(
        algorithms, envs, num_rounds=1, num_seeds=num_seeds, seed=seed, record_params=False,
        metrics=("gap",), common_seeds=False,
    )  # fmt: skip
    failed = np.asarray(run.failures["max_steps"] + run.failures["nonfinite"])
    return {"gap": run.metrics["gap"][:, :, 0], "labels": np.asarray(labels), "failed": failed}
