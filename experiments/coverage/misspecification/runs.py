"""The runs behind the experiment misspecification: labellers, samplers, where each ends and how it spreads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import banditlab as bl
from banditlab import policies
from banditlab.claims import statistics
from banditlab.store import Shards
from experiments.coverage.misspecification import pseudo_true
from experiments.shared import equal_labels

if TYPE_CHECKING:
    from experiments.coverage.misspecification.experiment import Config

SAMPLERS = {"offline": "initial", "uniform": "uniform", "on_policy": "on_policy"}
NOISES = {
    "flips": "share of labels flipped",
    "temperature": "$\\log_2$ of the labeller's temperature (at 0 nothing is left)",
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


def ends(env: bl.Environment, tables: list[np.ndarray], config: Config, seeds: int) -> dict[str, np.ndarray]:
    """kl (strengths, samplers, seeds) after all rounds."""
    run = _simulate(env, tables, list(SAMPLERS), config, seeds)
    kl = run.metrics["kl_target"][..., -1].reshape(len(tables), len(SAMPLERS), seeds)
    return {"kl": kl} | {f"failed_{name}": np.asarray(count) for name, count in run.failures.items()}


def sandwich(env: bl.Environment, config: Config, shards: Shards) -> dict[str, float]:
    """n ||theta_hat - theta_dagger||^2 in the norm of V(pi_dagger), offline labels with flips; and its prediction."""
    table = win_probs(env, "flips", config.flips[-1])
    truth = pseudo_true.minimiser(env, table, np.asarray(bl.samplers.initial(env, env.log_initial)))

    def compute() -> dict[str, np.ndarray]:
        run = _simulate(env, [table], ["offline"], config, config.sandwich_seeds)
        return {"params": run.params[0, :, -1]}

    error = shards.get("sandwich", (0, config.sandwich_seeds), compute)["params"] - truth
    spread = np.asarray(policies.feature_covariance(env, env.log_policy(jnp.asarray(truth))))
    labels = config.num_pairs * config.num_rounds
    square = labels * np.einsum("si,ij,sj->s", error, spread, error)
    pair_law = np.asarray(bl.samplers.initial(env, env.log_initial))
    predicted = float(np.trace(spread @ pseudo_true.sandwich(env, table, pair_law, truth)))
    return {"sandwich": predicted} | statistics.mean("spread", square)
