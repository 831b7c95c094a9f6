"""Which methods are compared, and on which problems; their runs, and where along the peaks the winner changes.

A learning rate and a method's own number are chosen, problem by problem, on seeds that no result uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import problem
from banditlab.didactic.settings import Settings
from banditlab.estimators import Status
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.didactic.negative_gradient.experiment import Config

# The reference draws every batch where the sampling policy is never set to the current one.
_NEVER = 1_000_000
_SOUND = int(Status.max_steps)
OFFLINE, ON_POLICY = "offline", "on_policy"
# A loss with a negative gradient and the likelihood that reads the same: the batch's best, the pairs, the rewards.
RIVALS = (
    ("best_of_n_negative", "best_of_n"),
    ("ipo", "best_of_n"),
    ("dpo", "pref_ft"),
    ("ipo", "pref_ft"),
    ("best_of_n_negative", "rwr"),
    ("dpo", "rwr"),
    ("ipo", "rwr"),
)
# Which of them lose to RWR where the peak is rare but not near the mode; IPO with its tuned target loses on both.
CROSSING = ("best_of_n_negative", "dpo")
SQUARE = (("best_of_n_negative", "best_of_n"), ("dpo", "pref_ft"), ("ipo", "pref_ft"))
R1, R2, WIDTH = 70.0, 20.0, 10.0


class Method(NamedTuple):
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
LARGEST_GRID = max(len(method.values) for method in METHODS.values())


def tuned(config: Config, name: str, sampler: str, peaks: np.ndarray, widths: np.ndarray) -> dict[str, np.ndarray]:
    """Choose by the mean reward at the end over the tuning seeds, then run the chosen on others.

    Args:
        name: one of METHODS.
        sampler: OFFLINE, where the reference draws every batch, or ON_POLICY.
        peaks, widths: (K,) of the problems.

    Returns:
        learning_rate, value (K,): the chosen; score (K, G): what they were chosen by; reward (K, seeds, R);
        failed (K,): runs that were not finite, in both.
    """
    grid = np.asarray(list(product(config.learning_rates, METHODS[name].values)))
    repeated = tuple(np.repeat(axis, len(grid)) for axis in (peaks, widths))
    arguments = (config, METHODS[name], sampler, repeated, np.tile(grid, (len(peaks), 1)))
    # The root seed is the evaluation's; the calls that tune have the next ones.
    seeds, roots = config.num_seeds // len(grid), range(config.seed + 1, config.seed + config.tuning_calls + 1)
    calls = [_train(*arguments, seeds, root) for root in roots]
    final = np.concatenate(
        [np.where(tried["status"] == _SOUND, tried["reward"][:, :, -1], -np.inf) for tried in calls], 1
    )
    score = final.mean(axis=1).reshape(len(peaks), len(grid))
    chosen = grid[np.argmax(score, axis=1)]
    found = _train(config, METHODS[name], sampler, (peaks, widths), chosen, config.num_seeds, config.seed)
    failed = (found["status"] != _SOUND).sum(1) + np.isinf(final).reshape(len(peaks), -1).sum(1)
    best = {"learning_rate": chosen[:, 0], "value": chosen[:, 1], "score": score, "reward": found["reward"]}
    return best | {"failed": failed} | failures({"not finite": failed})


def _train(config, method, sampler, problems, settings, seeds, seed) -> dict[str, np.ndarray]:
    return training.train_grid(
        method.algorithm,
        policies.tabular(),
        jax.vmap(problem)(*problems),
        num_steps=config.num_steps,
        num_states=config.num_states,
        num_samples=config.num_samples,
        on_policy=True,
        refresh=_NEVER if sampler == OFFLINE else 1,
        seeds=seeds,
        settings=Settings(**{"learning_rate": settings[:, 0], method.setting: settings[:, 1]}),
        record_at=config.record_at,
        seed=seed,
    )


def crossings(along: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float]]:
    """Where the margins' sign changes: (interpolated peak, the peaks on either side), from rows in order of peaks.

    A margin within 4 standard errors of zero has no sign: its peak does not bracket, but serves to interpolate.
    """
    sure = [k for k, row in enumerate(along) if abs(row["margin"]) > 4 * row["margin_se"]]
    found = []
    for start, end in pairwise(sure):
        if along[start]["margin"] * along[end]["margin"] < 0:
            inside = pairwise(along[start : end + 1])
            left, right = next((a, b) for a, b in inside if (a["margin"] > 0) != (b["margin"] > 0))
            share = left["margin"] / (left["margin"] - right["margin"])
            zero = left["peak"] + share * (right["peak"] - left["peak"])
            found.append((zero, along[start]["peak"], along[end]["peak"]))
    return found
