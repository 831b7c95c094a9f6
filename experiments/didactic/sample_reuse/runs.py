"""Training with every number of steps on a batch, at its own best rate and at that of one step; a single step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import Study

if TYPE_CHECKING:
    from experiments.didactic.sample_reuse.experiment import Config

EACH, FIXED, FIRST = "rate tuned at each T", "rate tuned at T = 1", "first step"
# Name -> algorithm. Without a clip PPO keeps its ratio; REINFORCE has neither.
METHODS = {"best_of_n": "best_of_n", "ipo": "ipo", "reinforce": "reinforce", "ppo_unclipped": "ppo", "ppo": "ppo"}


def study(config: Config, method: str) -> Study:
    """The runs' shared part."""
    settings = Settings(ipo_target=config.ipo_target, clip=clip(config, method))
    sizes = (config.num_seeds, config.seeds_per_call, config.tuning_seeds, config.seed)
    return Study(policies.tabular(), config.rates, settings, *sizes)


def clip(config: Config, method: str) -> float:
    return math.inf if method == "ppo_unclipped" else config.clip


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of every cell, and the rewards after a single step."""
    jobs = {name: partial(_train, config, name) for name in config.methods}
    jobs |= {FIRST: partial(_first_steps, config)}
    found = tuned_training.side_by_side(jobs)
    return {name.split(": ", 1)[1]: values for name, values in found.items()} | tuned_training.broken(found)


def _train(config: Config, method: str) -> dict[str, np.ndarray]:
    """Every T at its own best rate, and at the best rate of T = 1."""
    shared = {"num_states": config.num_states, "num_samples": config.num_samples, "on_policy": True}
    arrays: dict[str, np.ndarray] = {}
    first: Mapping[str, np.ndarray] | None = None
    for reuse in config.reuses:
        options = shared | {"num_steps": reuse * config.num_batches, "reuse": reuse}
        each = tuned_training.tuned(study(config, method), METHODS[method], **options)
        first = each if first is None else first
        fixed = tuned_training.measure(study(config, method), METHODS[method], first["rate"], **options)
        fixed |= {"rate": first["rate"], "held_out": each["held_out"]}
        for mode, found in ((EACH, each), (FIXED, fixed)):
            arrays |= {f"{name(mode, method, reuse)}: {key}": value for key, value in found.items()}
    return arrays


def _first_steps(config: Config) -> dict[str, np.ndarray]:
    """E_pi R after one step on one state: of REINFORCE on two draws, of Best-of-N on N; runs (n,) each."""
    bandit = jax.tree.map(lambda leaf: leaf[1], tuned_training.bandits())
    found = {}
    few = config.first_seeds // 32
    for method, samples, seeds in (("reinforce", 2, config.first_seeds), ("best_of_n", config.num_samples, few)):
        result = training.train(
            method,
            policies.tabular(),
            Problem(*bandit),
            num_steps=1,
            num_states=1,
            num_samples=samples,
            on_policy=True,
            seeds=seeds,
            settings=Settings(learning_rate=config.first_rate),
            record_at=(1,),
            seed=config.seed,
        )
        found[f"{FIRST}, {method}: reward"] = result["reward"][:, -1]
    return found


def name(mode: str, method: str, reuse: int) -> str:
    return f"{method}, {mode}, {reuse}"
