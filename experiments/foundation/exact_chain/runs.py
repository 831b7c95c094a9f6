"""The simulated runs of an arm, at every beta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import banditlab as bl

if TYPE_CHECKING:
    from experiments.foundation.exact_chain.experiment import Config

ALGORITHMS = {"on_policy": bl.algorithms.on_policy_dpo, "offline": bl.algorithms.offline_dpo}


def simulate(config: Config, sampler: str, num_pairs: int, num_seeds: int) -> dict[str, np.ndarray]:
    envs = [bl.instances.chain(config.target, config.start, beta) for beta in config.betas]
    algorithm = ALGORITHMS[sampler](num_pairs, max_norm=config.max_norm)
    done = bl.simulate_grid(
        [algorithm], envs, num_rounds=config.num_rounds, num_seeds=num_seeds, seed=config.seed, metrics=()
    )
    return {"params": done.params[..., 0]} | {f"failed_{name}": np.asarray(n) for name, n in done.failures.items()}
