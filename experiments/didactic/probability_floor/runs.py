"""Training with and without the floor, the data sets that it draws, and what of these lies below the floor."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab.didactic import data_sets
from banditlab.didactic.problem import problem
from banditlab.exact.clamped_losses import LOW
from experiments.didactic.shared.plain_training import counted, trained

if TYPE_CHECKING:
    from experiments.didactic.probability_floor.experiment import Config

OFFLINE, ON_POLICY = "offline", "on_policy"
ARMS = (("dpo", OFFLINE), ("best_of_n_negative", OFFLINE), ("pref_ft", OFFLINE), ("dpo", ON_POLICY))


def train(config: Config) -> dict[str, np.ndarray]:
    """log_policy (seeds, R, A) and reward (seeds, R) of every arm without and with the floor."""
    jobs = {
        f"{algorithm}, {sampler}, {floor}": partial(_train, config, algorithm, sampler, bool(floor))
        for algorithm, sampler in ARMS
        for floor in (0, 1)
    }
    return counted(jobs)


def _train(config: Config, algorithm: str, sampler: str, floor: bool) -> dict[str, np.ndarray]:
    return trained(
        algorithm,
        problem(config.peak),
        ["log_policy", "reward"],
        num_steps=config.num_steps,
        num_states=config.num_states,
        num_samples=config.num_samples,
        on_policy=sampler == ON_POLICY,
        seeds=config.num_seeds,
        settings=config.settings,
        floor=floor,
        record_at=config.record_at,
        record_policy=True,
        seed=config.seed,
    )


def tables(config: Config) -> dict[str, np.ndarray]:
    """The offline data sets of the runs: actions (seeds, B, N); and the problem's arrays."""
    bandit = problem(config.peak)
    drawn = data_sets.actions(bandit, config.num_states, config.num_samples, config.num_seeds, config.seed)
    return {"actions": drawn, "log_reference": np.asarray(bandit.log_reference), "reward": np.asarray(bandit.reward)}


def _wins(tables: dict[str, np.ndarray]) -> np.ndarray:
    """(seeds, B, N, N) one where draw i beats draw j."""
    rewards = tables["reward"][tables["actions"]]
    return (rewards[..., :, None] > rewards[..., None, :]).astype(float)


def balanced(tables: dict[str, np.ndarray]) -> np.ndarray:
    """(seeds,) whether some action of the data wins as many pairs as it loses, and some at all."""
    wins, lanes = _wins(tables), np.arange(len(tables["actions"]))[:, None, None]
    sides = np.zeros((2, len(wins), len(tables["reward"])))
    for side, axis in zip(sides, (3, 2), strict=True):
        np.add.at(side, (lanes, tables["actions"]), wins.sum(axis=axis))
    return ((sides[0] == sides[1]) & (sides[0] > 0)).any(axis=1)


def rejected(tables: dict[str, np.ndarray], log_policy: np.ndarray) -> np.ndarray:
    """(seeds, R) mean log pi of the losers of all pairs."""
    lost = _wins(tables).sum(axis=2)
    drawn = log_policy[np.arange(len(lost))[:, None, None], :, tables["actions"]]
    return np.einsum("kbn,kbnr->kr", lost, drawn) / lost.sum(axis=(1, 2))[:, None]


def below(config: Config, tables: dict[str, np.ndarray], sampler: str, log_policy: np.ndarray) -> np.ndarray:
    """(seeds, R) share of the data's draws that are below the floor; on-policy the probability of such a draw."""
    if sampler == ON_POLICY:
        return (np.exp(log_policy) * (log_policy < LOW)).sum(axis=2)
    drawn = log_policy[np.arange(config.num_seeds)[:, None, None], :, tables["actions"]]
    return (drawn < LOW).mean(axis=(1, 2))
