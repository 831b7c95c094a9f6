"""The policies and values of `estimator_facts`, and what is enumerated and simulated at each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

import banditlab as bl
from banditlab.exact.score_estimators import NAIVE, REINFORCE, RLOO, variances
from experiments.partial_coverage.estimator_facts import moments

if TYPE_CHECKING:
    from experiments.partial_coverage.estimator_facts.experiment import Config

UNIFORM, PEAKED, CENTRED = "uniform reference", "peaked reference", "centred values"
# Reference, and the direction in which the policy is tilted away from it.
FAMILIES: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    UNIFORM: ((0.25, 0.25, 0.25, 0.25), (0.0, 0.3, -0.5, 1.0)),
    PEAKED: ((0.97, 0.01, 0.01, 0.01), (0.0, 1.0, 0.9, 1.1)),
}
ACTIONS = 4


def settings(config: Config) -> list[tuple[str, float, np.ndarray, np.ndarray, bool]]:
    """(family, tilt, log pi (A,), f (A,), whether estimates are drawn): f = log(pi/pi_ref), but for the last, any f
    of mean zero at pi uniform."""
    made, tilts = [], sorted({*config.tilts, *config.simulated_tilts})
    for family, (reference, direction) in FAMILIES.items():
        log_reference = np.log(reference)
        for tilt in tilts:
            log_policy = log_softmax(log_reference + tilt * np.array(direction))
            made.append((family, tilt, log_policy, log_policy - log_reference, tilt in config.simulated_tilts))
    direction = np.array(FAMILIES[UNIFORM][1])
    return [*made, (CENTRED, 0.0, np.full(ACTIONS, -np.log(ACTIONS)), direction - direction.mean(), True)]


def measure(config: Config, num_samples: int) -> dict[str, np.ndarray]:
    """estimator_moment (P,): enumerated variance, its error in the mean, and the simulated variance; P settings."""
    env = bl.instances.tabular(np.zeros((1, ACTIONS)))
    listed = settings(config)
    log_policies, values = (jnp.asarray(np.stack([setting[k] for setting in listed])[:, None]) for k in (2, 3))
    found = moments.enumerated(env, log_policies, values, num_samples)
    gradients = np.asarray(_gradients(log_policies, values))
    largest = np.abs(np.asarray(values)).max(axis=(1, 2))
    result = {"size": np.linalg.norm(gradients, axis=1) / largest}
    for name, own in found.items():
        target = np.zeros_like(gradients) if name == NAIVE else gradients
        mean = np.asarray(own["mean"])
        scale = np.ones(len(values)) if name == NAIVE else largest
        result[f"{name}_error"] = np.abs(mean - target).max(axis=1) / scale
        result[f"{name}_along"] = (mean * gradients).sum(1) / (gradients**2).sum(1)
        result |= {f"{name}_{key}": np.asarray(own[key]) for key in ("variance", "spread")}
    shown = np.array([setting[-1] for setting in listed])
    means = {name: own["mean"][shown] for name, own in found.items()}
    key = jax.random.fold_in(jax.random.key(config.seed), num_samples)
    own = (env, log_policies[shown], values[shown], means, config.num_estimates, num_samples)
    drawn = moments.simulated(key, *own)
    for name, variance in drawn.items():
        result[f"{name}_simulated"] = np.zeros(len(listed))
        result[f"{name}_simulated"][shown] = np.asarray(variance)
    return result


def near_uniform(actions: tuple[int, ...], tilts: tuple[float, ...]) -> list[dict[str, float]]:
    """One row per A and tilt: pi ∝ e^{t u} next to the uniform reference, as k -> infinity."""
    rows = []
    for count in actions:
        for tilt in tilts:
            log_policy = log_softmax(tilt * np.linspace(1.0, -1.0, count))
            policy, values = np.exp(log_policy), log_policy + np.log(count)
            found = variances(policy, values, np.inf)
            weights = 1 - 2 * policy + policy @ policy  # |e_y - pi|^2
            mean = policy @ values
            size = float(np.mean((count * policy - 1) ** 2))
            limit = found[RLOO] / found[REINFORCE]
            row = {"actions": count, "tilt": tilt, "size": size, "limit": limit}
            row |= {"gap": found[REINFORCE] - found[RLOO]}
            row |= {"predicted_gap": float(mean * (2 * policy @ (values * weights) - mean * policy @ weights))}
            rows.append(row | {"slope": (limit - 1) / (size / 4), "predicted_slope": (9 - count) / (count - 2)})
    return rows


def far_from_uniform() -> list[dict[str, float | str]]:
    """Four actions far from the uniform reference, where RLOO has the smaller variance."""
    rows = []
    for draws in (2, 4):
        policy = np.array([0.333, 0.333, 0.333, 0.001])
        found = variances(policy, np.log(4 * policy), draws)
        rows.append({"policy": " ".join(map(str, policy)), "draws": draws, "ratio": found[RLOO] / found[REINFORCE]})
    return rows


@jax.jit
def _gradients(log_policies, values):
    """(P, A) gradients in the logits of sum_y pi(y) f(y), f held fixed, by autodiff."""

    def mean(logits, table):
        return jnp.sum(jax.nn.softmax(logits) * table)

    return jax.vmap(jax.grad(mean))(log_policies[:, 0], values[:, 0])
