"""The kinds of labels, and runs of Pref-FT on each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import Problem, problem
from banditlab.didactic.settings import Settings
from banditlab.store import failures
from experiments.didactic.shared.tuned_training import side_by_side

if TYPE_CHECKING:
    from experiments.didactic.reward_model_labels.experiment import Config

TRUE, NOISY, LEARNED = "deterministic", "bradley_terry", "reward_model"


def bandit(config: Config) -> Problem:
    """The bump of reward."""
    return problem(config.peak, config.width, num_actions=config.num_actions)


def train(config: Config) -> dict[str, np.ndarray]:
    """reward (seeds, 2) of every arm, two thirds on the way and at the end."""
    found = side_by_side({f"{mode}, {count}": partial(_train, config, mode, count) for mode, count in config.arms})
    broken = [found.pop(name) for name in list(found) if name.endswith(": failed")]
    return found | failures({"not finite": broken})


def _train(config: Config, mode: str, count: int) -> dict[str, np.ndarray]:
    found = training.train(
        "pref_ft",
        policies.tabular(),
        bandit(config),
        num_steps=config.num_steps,
        num_states=config.num_states,
        num_samples=2,
        on_policy=False,
        seeds=config.num_seeds,
        settings=Settings(learning_rate=config.learning_rate, temperature=config.temperature),
        label_mode=mode,
        reward_pairs=count or 1,
        record_at=(2 * config.num_steps // 3, config.num_steps),
        seed=config.seed,
    )
    return {"reward": found["reward"], "failed": np.asarray(training.failures(found)["nonfinite"])}
