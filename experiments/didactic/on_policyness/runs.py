"""What is held fixed as samples are drawn more often, and training at tuned rates on each schedule."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab.didactic import policies
from banditlab.didactic.settings import Settings
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import Study

if TYPE_CHECKING:
    from experiments.didactic.on_policyness.experiment import Config

BUDGETS = QUERIES, STEPS, COMPUTE = ("equal queries", "equal steps", "equal compute")


def study(config: Config) -> Study:
    """The runs' shared part."""
    settings = Settings(beta=config.beta, ipo_target=config.ipo_target)
    sizes = (config.num_seeds, config.seeds_per_call, config.tuning_seeds, config.seed)
    return Study(policies.tabular(), config.rates, settings, *sizes)


def schedule(config: Config, budget: str, collections: int) -> dict[str, int]:
    """Steps in all, steps on each batch, and batches drawn from one policy.

    The most collections, one batch and one step each, are the same runs in every budget. With fewer there are as many
    batches, drawn from older policies (queries); as many steps, more of them on each batch (steps); or as many more
    steps as the draws saved would have cost (compute).
    """
    most = max(config.collections)
    if budget == QUERIES:
        return {"num_steps": most, "reuse": 1, "refresh": most // collections}
    steps = most if budget == STEPS else (1 + config.draw_price) * most - config.draw_price * collections
    return {"num_steps": steps, "reuse": steps // collections, "refresh": 1}


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.tuned` for every cell; cells that share a program follow one another."""
    few, most = [c for c in config.collections if c < max(config.collections)], max(config.collections)
    fresh = [(STEPS, most), *((budget, c) for budget in (STEPS, COMPUTE) for c in few)]
    jobs = {}
    for algorithm in config.algorithms:
        for cells in ([(QUERIES, c) for c in few], fresh):
            jobs[f"{algorithm}, {cells[0][0]}"] = partial(_train, config, algorithm, cells)
    found = tuned_training.side_by_side(jobs)
    return {name.split(": ", 1)[1]: values for name, values in found.items()} | tuned_training.broken(found)


def _train(config: Config, algorithm: str, cells: list[tuple[str, int]]) -> dict[str, np.ndarray]:
    shapes = {"num_states": config.num_states, "num_samples": config.num_samples, "on_policy": True}
    arrays = {}
    for budget, collections in cells:
        options = shapes | schedule(config, budget, collections)
        found = tuned_training.tuned(study(config), algorithm, **options)
        arrays |= {f"{name(config, algorithm, budget, collections)}: {k}": v for k, v in found.items()}
    return arrays


def name(config: Config, algorithm: str, budget: str, collections: int) -> str:
    if collections == max(config.collections):
        budget = "any"
    return f"{algorithm}, {budget}, {collections}"
