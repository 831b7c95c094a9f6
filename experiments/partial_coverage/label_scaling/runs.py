"""The bandits of `label_scaling`, and offline DPO on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import banditlab as bl
from banditlab.exact.rare_action import label_price
from banditlab.store import failures

if TYPE_CHECKING:
    from banditlab.claims import Instance
    from experiments.partial_coverage.label_scaling.experiment import Config

FIXED, LIFTED = "fixed", "lifted"


@dataclass(frozen=True)
class Bandit:
    """An environment with what is known of it before any label.

    Attributes:
      regime: FIXED or LIFTED rewards of the rare action; the name of another instance.
      beta, mass: temperature, smallest probability under pi_ref.
      price: C_F. unit: labels that `Config.labels` counts by.
      max_norm: cap of the estimates.
      remainder: labels -> (rad lam)^2 of Proposition 3, in the mean: one over the information of the comparisons.
    """

    regime: str
    beta: float
    mass: float
    env: bl.Environment
    price: float
    unit: float
    max_norm: float
    remainder: Callable[[float], float]


def two_actions(config: Config, regime: str, beta: float, mass: float) -> Bandit:
    """The bandit of Config, phi in {0, 1}: theta* = r/beta of the rare action, log((1-p)/p) if lifted."""
    target = float(np.log1p(-mass) - np.log(mass)) if regime == LIFTED else config.reward / beta
    reference = np.log([[1 - mass, mass]])
    env = bl.Environment.create([[[0.0], [1.0]]], target_params=[target], log_reference=reference, beta=beta)
    curvature = 0.25 / np.cosh(0.5 * beta * target) ** 2
    price = label_price(mass, beta, target)
    unit = 1 / mass if regime == FIXED else price

    def remainder(labels: float) -> float:
        return float(1 / (2 * labels * mass * (1 - mass) * curvature))

    return Bandit(regime, beta, mass, env, price, unit, abs(target) + config.margin, remainder)


def given(config: Config, instance: Instance) -> Bandit:
    """An instance; (rad lam)^2 is the largest variance of an estimated difference of rewards.

    Raises ValueError where pi_ref misses an action of the class: the gap is infinite then.
    """
    env = instance.environment()
    law = bl.samplers.initial(env, env.log_initial)
    price, beta = float(bl.theory.label_price(env, law)), float(env.beta)
    mass, of_class = np.exp(np.asarray(env.log_reference)), np.isfinite(np.asarray(env.log_base))
    if not (np.isfinite(price) and (mass[of_class] > 0).all()):
        raise ValueError(f"instance must have a pi_ref that covers its class; got {instance.name}, C_F = {price:g}")
    variance = beta**2 * float(bl.coverage.leverage(env, bl.theory.fisher_information(env, law)))
    # The shortest theta*, from differences to each context's mean.
    features, reward = (np.asarray(values) for values in (env.features, env.reward))
    centred = (features - features.mean(1, keepdims=True)).reshape(-1, env.num_features)
    target = np.linalg.lstsq(centred, (reward - reward.mean(1, keepdims=True)).ravel() / beta)[0]
    cap = float(np.linalg.norm(target)) + config.margin
    return Bandit(
        instance.name, beta, float(mass[of_class].min()), env, price, price, cap, lambda labels: variance / labels
    )


def simulate(config: Config, settings: list, num_seeds: int, place: int) -> dict[str, np.ndarray]:
    """Gaps (settings, num_seeds) of offline DPO, and the labels of every (bandit, amount); one program for all."""
    labels = [max(1.0, float(round(amount * bandit.unit))) for bandit, amount in settings]
    algorithms = [
        bl.algorithms.offline_dpo(count, max_norm=bandit.max_norm, max_pairs=1e15)
        for count, (bandit, _) in zip(labels, settings, strict=True)
    ]
    run = bl.simulate_grid(
        algorithms, [bandit.env for bandit, _ in settings], num_rounds=1, num_seeds=num_seeds,
        seed=config.seed + place, record_params=False, metrics=("gap",), common_seeds=False,
    )  # fmt: skip
    return {"gap": run.metrics["gap"][:, :, 0], "labels": np.asarray(labels)} | failures(run.failures)
