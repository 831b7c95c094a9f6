"""The algorithms, who draws for them, and their paths at tuned rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from banditlab.didactic import policies
from banditlab.didactic.settings import Settings
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import Study

if TYPE_CHECKING:
    from experiments.didactic.reward_kl_frontier.experiment import Config

OFFLINE, ON_POLICY = "offline", "on_policy"
_NEVER = 1_000_000


@dataclass(frozen=True)
class Arm:
    """A name for the figures, an algorithm of `training.train_grid`, who draws, and its own numbers.

    penalty: what KL(pi || pi_ref) costs in the reward that it maximises and is tuned by.
    """

    name: str
    algorithm: str
    sampler: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    value: float = 0.0
    penalty: float = 0.0


# Best-of-N is its variant with a negative term of weight zero: the same program, and the same draws.
_BOTH = (
    ("best_of_n", "best_of_n_negative", {"negative_weight": 0.0}, 10.0),
    ("best_of_n_negative", "best_of_n_negative", {"negative_weight": 0.5}, 0.5),
    ("best_of_n_worst", "best_of_n_worst", {"negative_weight": 0.5}, 0.5),
    ("rwr", "rwr", {"beta": 0.1}, 0.1),
    ("awr", "awr", {"beta": 0.1}, 0.1),
    ("pref_ft", "pref_ft", {}, 2.0),
    ("dpo", "dpo", {"beta": 0.1}, 0.1),
    ("ipo", "ipo", {"ipo_target": 3.0}, 3.0),
)
_GRADIENTS = (
    ("reinforce", "reinforce", {"kl_weight": 0.1}, 0.1),
    ("reinforce", "reinforce", {"kl_weight": 0.3}, 0.3),
    ("reinforce_running", "reinforce_running", {"kl_weight": 0.1}, 0.1),
    ("ppo", "ppo", {}, 0.2),
    ("ppo_unclipped", "ppo", {"clip": np.inf}, np.inf),
)


def arms() -> tuple[Arm, ...]:
    """Likelihoods and pairs on either kind of draws, policy gradients on their own."""
    both = [Arm(name, of, who, numbers, value) for name, of, numbers, value in _BOTH for who in (OFFLINE, ON_POLICY)]
    own = [Arm(name, of, ON_POLICY, n, v, n.get("kl_weight", 0.0)) for name, of, n, v in _GRADIENTS]
    return (*both, *own)


def study(config: Config, arm: Arm) -> Study:
    """The runs' shared part; pi* is that of REINFORCE's own penalty."""
    numbers = dict(arm.numbers) | ({"beta": arm.penalty} if arm.penalty else {})
    sizes = (config.num_seeds, config.num_seeds, config.tuning_seeds, config.seed)
    return Study(policies.tabular(), config.rates, Settings(**numbers), *sizes)


def key(arm: Arm) -> str:
    return f"{arm.name} {arm.value:g} {arm.sampler}"


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.follow` for every arm; arms that share a program follow one another."""
    jobs: dict[str, Any] = {}
    for algorithm in dict.fromkeys(arm.algorithm for arm in arms()):
        jobs[algorithm] = partial(_train, config, [arm for arm in arms() if arm.algorithm == algorithm])
    found = tuned_training.side_by_side(jobs)
    return {name.split(": ", 1)[1]: values for name, values in found.items()}


def _train(config: Config, mine: list[Arm]) -> dict[str, np.ndarray]:
    shapes = {"num_steps": config.num_steps, "num_states": config.num_states, "num_samples": config.num_samples}
    arrays = {}
    for arm in mine:
        # Offline the reference draws fresh batches to the end.
        refresh = _NEVER if arm.sampler == OFFLINE else 1
        reuse = config.reuse if arm.algorithm == "ppo" else 1
        options = {"on_policy": True, "refresh": refresh, "reuse": reuse, "record_at": config.record_at}
        found = tuned_training.follow(study(config, arm), arm.algorithm, penalty=arm.penalty, **shapes, **options)
        arrays |= {f"{key(arm)}: {name}": values for name, values in found.items()}
    return arrays
