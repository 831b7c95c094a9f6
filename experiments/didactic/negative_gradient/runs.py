"""Tabular runs whose learning rate and own number are chosen, problem by problem, on seeds that no result uses."""

from dataclasses import dataclass
from itertools import product

import jax
import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import problem
from banditlab.didactic.settings import Settings
from banditlab.estimators import Status

# The reference draws every batch where the sampling policy is never set to the current one.
_NEVER = 1_000_000
_SOUND = int(Status.max_steps)
OFFLINE, ON_POLICY = "offline", "on_policy"


@dataclass(frozen=True)
class Method:
    """An algorithm of `training.train_grid`, the setting that is its own, and the values tried."""

    algorithm: str
    setting: str
    values: tuple[float, ...]


# Best-of-N is its variant with a negative term of weight zero: the same program, and the same draws.
METHODS = {
    "best_of_n": Method("best_of_n_negative", "negative_weight", (0.0,)),
    "best_of_n_negative": Method("best_of_n_negative", "negative_weight", (0.1, 0.5, 1.0)),
    "pref_ft": Method("pref_ft", "beta", (1.0,)),
    "dpo": Method("dpo", "beta", (0.1, 1.0, 10.0)),
    "ipo": Method("ipo", "ipo_target", (1.0, 10.0, 100.0)),
    "rwr": Method("rwr", "beta", (0.02, 0.1, 0.5)),
}
# Tuning gives every problem this many (setting, seed) runs per tuning seed, whatever the size of a method's grid.
_LARGEST_GRID = max(len(method.values) for method in METHODS.values())


@dataclass(frozen=True)
class Budget:
    """Steps, states and draws of a step, the learning rates tried, where a run is measured, and seeds that tune.

    A call of the largest grid takes tuning_seeds of them; there are tuning_calls.
    """

    num_steps: int
    num_states: int
    num_samples: int
    learning_rates: tuple[float, ...]
    record_at: tuple[int, ...]
    tuning_seeds: int
    tuning_calls: int

    @property
    def num_seeds(self) -> int:
        """Seeds that evaluate: as many runs as in a call that tunes, so that both are one program."""
        return self.tuning_seeds * len(self.learning_rates) * _LARGEST_GRID


def tuned(
    budget: Budget, name: str, sampler: str, peaks: np.ndarray, widths: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Choose by the mean reward at the end over the tuning seeds, then run the chosen on others.

    Args:
        name: one of METHODS.
        sampler: OFFLINE, where the reference draws every batch, or ON_POLICY.
        peaks, widths: (K,) of the problems.
        seed: root of the evaluation; the calls that tune have the next ones.

    Returns:
        learning_rate, value (K,): the chosen; score (K, G): what they were chosen by; reward (K, seeds, R);
        failed (K,): runs that were not finite, in both.
    """
    method = METHODS[name]
    grid = np.asarray(list(product(budget.learning_rates, method.values)))
    settings = np.tile(grid, (len(peaks), 1))
    seeds = budget.num_seeds // len(grid)
    repeated = tuple(np.repeat(axis, len(grid)) for axis in (peaks, widths))
    arguments = (budget, method, sampler, repeated, settings, seeds)
    calls = [_train(*arguments, seed + call) for call in range(1, budget.tuning_calls + 1)]
    final = np.concatenate(
        [np.where(tried["status"] == _SOUND, tried["reward"][:, :, -1], -np.inf) for tried in calls], 1
    )
    score = final.mean(axis=1).reshape(len(peaks), len(grid))
    chosen = grid[np.argmax(score, axis=1)]
    found = _train(budget, method, sampler, (peaks, widths), chosen, budget.num_seeds, seed)
    failed = (found["status"] != _SOUND).sum(1) + np.isinf(final).reshape(len(peaks), -1).sum(1)
    best = {"learning_rate": chosen[:, 0], "value": chosen[:, 1]}
    return best | {"score": score, "failed": failed, "reward": found["reward"]}


def _train(budget, method, sampler, problems, settings, seeds, seed) -> dict[str, np.ndarray]:
    return training.train_grid(
        method.algorithm,
        policies.tabular(),
        jax.vmap(problem)(*problems),
        num_steps=budget.num_steps,
        num_states=budget.num_states,
        num_samples=budget.num_samples,
        on_policy=True,
        refresh=_NEVER if sampler == OFFLINE else 1,
        seeds=seeds,
        settings=Settings(**{"learning_rate": settings[:, 0], method.setting: settings[:, 1]}),
        record_at=budget.record_at,
        seed=seed,
    )
