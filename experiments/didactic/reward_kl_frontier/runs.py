"""The algorithms, who draws for them, and their paths at tuned rates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from banditlab.didactic import policies
from banditlab.didactic.settings import Settings
from banditlab.store import failures
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import Study

if TYPE_CHECKING:
    from experiments.didactic.reward_kl_frontier.experiment import Config

OFFLINE, ON_POLICY, DRAWS = "offline", "on_policy", "num_draws"
_NEVER = 1_000_000


class Arm(NamedTuple):
    """A name for the figures, an algorithm of `training.train_grid`, who draws, and its own number.

    parameter: name of that number in `Settings`, or DRAWS for likelihoods that rank so many draws and read no number.
    """

    name: str
    algorithm: str
    sampler: str
    parameter: str
    value: float

    @property
    def penalty(self) -> float:
        """What KL(pi || pi_ref) costs in the reward that it maximises and is tuned by."""
        return self.value if self.parameter == "kl_weight" else 0.0


def arms(config: Config) -> tuple[Arm, ...]:
    """Likelihoods and pairs on either kind of draws, policy gradients on their own."""
    # Best-of-N is its variant with a negative term of weight zero: the same program, and the same draws.
    both = (
        ("best_of_n", "best_of_n_negative", DRAWS, float(config.num_samples)),
        ("best_of_n_negative", "best_of_n_negative", "negative_weight", config.negative_weight),
        ("best_of_n_worst", "best_of_n_worst", "negative_weight", config.negative_weight),
        ("rwr", "rwr", "beta", config.beta),
        ("awr", "awr", "beta", config.beta),
        ("pref_ft", "pref_ft", DRAWS, 2.0),
        ("dpo", "dpo", "beta", config.beta),
        ("ipo", "ipo", "ipo_target", config.ipo_target),
    )
    own = (
        *(("reinforce", "reinforce", "kl_weight", penalty) for penalty in config.penalties),
        ("reinforce_running", "reinforce_running", "kl_weight", config.penalties[0]),
        ("ppo", "ppo", "clip", config.clip),
        ("ppo_unclipped", "ppo", "clip", np.inf),
    )
    either = [Arm(name, of, who, key, value) for name, of, key, value in both for who in (OFFLINE, ON_POLICY)]
    return (*either, *(Arm(name, of, ON_POLICY, key, value) for name, of, key, value in own))


def study(config: Config, arm: Arm) -> Study:
    """The runs' shared part; pi* is that of REINFORCE's own penalty."""
    numbers = {"negative_weight": 0.0} if arm.parameter == DRAWS else {arm.parameter: arm.value}
    numbers |= {"beta": arm.penalty} if arm.penalty else {}
    sizes = (config.num_seeds, config.num_seeds, config.tuning_seeds, config.seed)
    return Study(policies.tabular(), config.rates, Settings(**numbers), *sizes)


def reuse(config: Config, arm: Arm) -> int:
    """Gradient steps on each batch."""
    return config.reuse if arm.algorithm == "ppo" else 1


def key(arm: Arm) -> str:
    return f"{arm.name} {arm.value:g} {arm.sampler}"


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.follow` for every arm; arms that share a program follow one another."""
    mine: dict[str, list[Arm]] = {}
    for arm in arms(config):
        mine.setdefault(arm.algorithm, []).append(arm)
    found = tuned_training.own_names({name: partial(_train, config, those) for name, those in mine.items()})
    edges = [np.isin(rate, config.rates[:: len(config.rates) - 1]) for name, rate in found.items() if ": rate" in name]
    return found | failures({"best learning rate at an end of the grid": edges})


def _train(config: Config, mine: list[Arm]) -> dict[str, np.ndarray]:
    shapes = {"num_steps": config.num_steps, "num_states": config.num_states, "num_samples": config.num_samples}
    arrays = {}
    for arm in mine:
        # Offline the reference draws fresh batches to the end.
        refresh = _NEVER if arm.sampler == OFFLINE else 1
        options = {"on_policy": True, "refresh": refresh, "reuse": reuse(config, arm), "record_at": config.record_at}
        found = tuned_training.follow(study(config, arm), arm.algorithm, penalty=arm.penalty, **shapes, **options)
        arrays |= tuned_training.named(key(arm), found)
    return arrays
