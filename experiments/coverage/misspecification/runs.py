"""The runs behind the experiment misspecification: labellers, samplers, where each ends and how it spreads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.special import log_softmax

import banditlab as bl
from banditlab import policies
from banditlab.exact import pseudo_true
from banditlab.store import failures
from experiments.shared import equal_labels

if TYPE_CHECKING:
    from experiments.coverage.misspecification.experiment import Config

SAMPLERS = {"offline": "initial", "uniform": "uniform", "on_policy": "on_policy"}
NOISES = {
    "flips": "share of labels flipped",
    "temperature": "$\\log_2$ of the labeller's temperature, right at 0",
    "cycles": "strength of the cycles",
}


def win_probs(env: bl.Environment, noise: str, strength: float) -> np.ndarray:
    """P(i beats j), (S, A, A); with cycles sigma(r_i - r_j + strength c_ij), c_ij = +-1 by the parity of i - j."""
    gaps = np.asarray(bl.preferences.reward_gaps(env))
    if noise == "flips":
        return (1 - 2 * strength) / (1 + np.exp(-gaps)) + strength
    if noise == "temperature":
        return 1 / (1 + np.exp(-gaps * 2.0**-strength))
    places = np.arange(env.num_actions)
    distance = places[:, None] - places[None, :]
    signs = np.sign(distance) * np.where(distance % 2 == 0, -1.0, 1.0)
    return 1 / (1 + np.exp(-(gaps + strength * signs[None])))


def pseudo_true_params(env: bl.Environment, win_probs: np.ndarray, sampler: str, num_rounds: int) -> np.ndarray:
    """theta after num_rounds of infinitely many labels: the fixed sampler's minimiser, or the on-policy recursion.

    In NumPy, as what is compared with it is in JAX.
    """
    features, beta, start = np.asarray(env.features), float(env.beta), np.asarray(env.target_params)
    scores = np.zeros(features.shape[:2]) if sampler == "uniform" else np.asarray(env.log_initial)
    for _ in range(num_rounds if sampler == "on_policy" else 1):
        probs = np.exp(log_softmax(scores, axis=1))
        law = np.asarray(env.context_probs)[:, None, None] * probs[:, :, None] * probs[:, None, :]
        theta = pseudo_true.minimiser(features, beta, win_probs, law, start)
        scores = np.asarray(env.log_base) + features @ theta
    return theta


def kl_target(env: bl.Environment, theta: np.ndarray) -> float:
    """E_x KL(pi* || pi_theta), in NumPy."""
    log_target = log_softmax(np.asarray(env.log_reference + env.reward / env.beta), axis=1)
    log_policy = log_softmax(np.asarray(env.log_base) + np.asarray(env.features) @ theta, axis=1)
    return float(np.asarray(env.context_probs) @ (np.exp(log_target) * (log_target - log_policy)).sum(axis=1))


def offline_limit(env: bl.Environment, win_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """For labels from pi_0 x pi_0: theta_dagger (d,), the norm V(pi_dagger) (d, d), and tr(V A^{-1} B A^{-1})."""
    features, beta, start = np.asarray(env.features), float(env.beta), np.asarray(env.target_params)
    law = np.asarray(bl.samplers.initial(env, env.log_initial))
    truth = pseudo_true.minimiser(features, beta, win_probs, law, start)
    norm = np.asarray(policies.feature_covariance(env, env.log_policy(jnp.asarray(truth))))
    return truth, norm, float(np.trace(norm @ pseudo_true.sandwich(features, beta, win_probs, law, truth)))


def ends(env: bl.Environment, tables: list[np.ndarray], config: Config) -> dict[str, np.ndarray]:
    """kl (strengths, samplers, seeds) after all rounds."""
    run = _simulate(env, tables, list(SAMPLERS), config, config.num_seeds)
    kl = run.metrics["kl_target"][..., -1].reshape(len(tables), len(SAMPLERS), config.num_seeds)
    return {"kl": kl} | failures(run.failures)


def offline_params(env: bl.Environment, table: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """params (seeds, d), the fit to all labels, drawn from pi_0 x pi_0."""
    run = _simulate(env, [table], ["offline"], config, config.sandwich_seeds)
    return {"params": run.params[0, :, -1]} | failures(run.failures)


def _simulate(env: bl.Environment, tables: list[np.ndarray], samplers: list[str], config: Config, seeds: int) -> bl.Run:
    """One program: samplers and labellers differ in numbers alone."""
    design = jax.jit(bl.designs.joint)(env)
    algorithms = []
    for table in tables:
        for sampler in samplers:
            weights = {name: jnp.asarray(float(SAMPLERS[sampler] == name)) for name in equal_labels.COMPONENTS}
            algorithms.append(
                bl.algorithms.dpo(
                    Partial(equal_labels.blend, design, weights), config.num_pairs,
                    labeller=bl.preferences.from_table(table), pooled=sampler != "on_policy",
                )
            )  # fmt: skip
    return bl.simulate_grid(
        algorithms, [env], num_rounds=config.num_rounds, num_seeds=seeds, metrics=("kl_target", "existence")
    )
