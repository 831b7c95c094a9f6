"""Training curves: microseconds per seed and gradient step, compile time apart, against a NumPy loop over seeds."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import banditlab as bl
from banditlab import trajectories
from benchmarks import timing

_NUM_ACTIONS, _NUM_SEEDS, _NUM_STEPS = 20, 4096, 2000
# The baseline's cost is linear in both.
_FEW_SEEDS, _FEW_STEPS = 4, 500
_STEP_SIZE, _PENALTY, _LABELS = 0.5, 0.05, 1000
_REPEATS = 3
_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("exact KL; DPO costs the same", {}),
    ("RLOO, 2 draws", {"kl": "rloo", "num_samples": 2}),
)


def costs() -> list[dict[str, object]]:
    """One row per gradient: a call of all seeds and steps, and the same per seed and step as the baseline's."""
    env, wins = _problem()
    few = partial(_numpy_descent, wins[:_FEW_SEEDS, 0], _FEW_STEPS)
    rows = []
    for name, options in _KINDS:
        settings: dict[str, Any] = {"step_size": _STEP_SIZE, "penalty": _PENALTY, "metrics": ("gap", "kl_reference")}
        shared = settings | {"record_at": np.linspace(0, _NUM_STEPS, 11)} | options
        ours, baseline = timing.interleaved([partial(trajectories.paths, env, wins, **shared), few], _REPEATS)
        each = 1e6 * ours.minimum / (_NUM_SEEDS * _NUM_STEPS)
        loop = 1e6 * baseline.minimum / (_FEW_SEEDS * _FEW_STEPS)
        rows.append(
            {
                "gradient": name,
                "actions": _NUM_ACTIONS,
                "seeds": _NUM_SEEDS,
                "steps": _NUM_STEPS,
                "first_call_s": ours.first,
                "call_s": ours.minimum,
                "call_median_s": ours.median,
                "us_per_seed_step": each,
                "numpy_us_per_seed_step": loop,
                "ratio": loop / each,
            }
        )
    return rows


def _problem() -> tuple[bl.Environment, np.ndarray]:
    """A tabular bandit, and as many data sets (seeds, 1, A, A) of labels on random pairs as there are seeds."""
    rng = np.random.default_rng(0)
    reward = rng.standard_normal(_NUM_ACTIONS)
    better = 1 / (1 + np.exp(-(reward[:, None] - reward[None, :])))
    wins = rng.multinomial(_LABELS, (better / better.sum()).ravel(), _NUM_SEEDS).astype(float)
    return bl.instances.tabular(reward[None]), wins.reshape(-1, 1, _NUM_ACTIONS, _NUM_ACTIONS)


def _numpy_descent(wins: np.ndarray, num_steps: int) -> np.ndarray:
    """Parameters (seeds, A) after descent on DPO's loss with the exact KL penalty, uniform reference, seed by seed."""
    ends = []
    for table in wins:
        shares, params = table / table.sum(), np.zeros(len(table))
        np.fill_diagonal(shares, 0.0)
        for _ in range(num_steps):
            pull = shares / (1 + np.exp(params[:, None] - params[None, :]))
            policy = np.exp(params - params.max())
            policy /= policy.sum()
            log_ratio = np.log(policy * len(params))
            spread = policy * (log_ratio - policy @ log_ratio)
            params = params + _STEP_SIZE * (pull.sum(1) - pull.sum(0) - _PENALTY * spread)
        ends.append(params)
    return np.stack(ends)
