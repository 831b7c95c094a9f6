"""The numbers of a training run: arrays all, so that changing one, or sweeping many, does not recompile."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from banditlab import validation
from banditlab.didactic.problem import Number
from banditlab.door import door

__all__ = ["DEFAULTS", "Settings", "checked"]


class Settings(NamedTuple):
    """Numbers that the losses, the labels and the optimiser read; a scalar each, or (G,) in a sweep.

    Attributes:
        learning_rate: of Adam.
        beta: temperature: of DPO's margins, of the weights e^{r/beta} of RWR and AWR, and of the target
            pi* proportional to pi_ref e^{R/beta} that kl_target is measured to.
        ipo_target: margin that IPO regresses the difference of log-ratios on, 1 / (2 tau) in its paper's notation.
        temperature: of Bradley-Terry labels: i beats j with probability sigma((r_i - r_j) / temperature).
        threshold: pairs whose rewards differ by no more are dropped; 0 drops ties alone.
        negative_weight: of the pushed-down term of best_of_n_negative and best_of_n_worst.
        weight_cap: largest weight of RWR and AWR.
        clip: of PPO's ratio, which is clipped to [1 - clip, 1 + clip]; below 1, or inf for no clip.
        entropy, kl_weight: REINFORCE and PPO maximise R - entropy log pi - kl_weight log(pi / pi_ref), as rewards.
    """

    learning_rate: Number = 1e-3
    beta: Number = 0.1
    ipo_target: Number = 1.0
    temperature: Number = 0.1
    threshold: Number = 0.0
    negative_weight: Number = 0.1
    weight_cap: Number = math.inf
    clip: Number = 0.2
    entropy: Number = 0.0
    kl_weight: Number = 0.0


DEFAULTS = Settings()


_MAY_BE_ZERO = ("threshold", "negative_weight", "entropy", "kl_weight")
_MAY_BE_INFINITE = ("weight_cap", "clip")


@door
def checked(settings: Settings) -> Settings:
    """`settings` as float64 NumPy arrays; ValueError naming the number that is out of range."""
    columns = {}
    for name, value in settings._asdict().items():
        column = np.asarray(value, dtype=np.float64)
        for number in column.ravel():
            may_be = {"zero": name in _MAY_BE_ZERO, "infinite": name in _MAY_BE_INFINITE}
            validation.positive(f"settings.{name}", number, **may_be)
        columns[name] = column
    wide = columns["clip"][(columns["clip"] >= 1) & np.isfinite(columns["clip"])]
    if wide.size:
        raise ValueError(f"settings.clip must be below 1, or inf for no clip; got {wide.max()}")
    return Settings(**columns)


def __dir__() -> list[str]:
    return __all__
