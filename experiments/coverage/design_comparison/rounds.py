"""DPO in rounds on pairs of designs: the plain design, its hybrids, and designs solved again at every estimate."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

import banditlab as bl
from banditlab.store import failures
from experiments.shared import sampler_zoo

ARMS = ("design", "hybrid_paired", "on_policy", "reweighted", "plug_in_oracle", "oracle")


def _sampler(laws: dict[str, Array], arm: Array, env: bl.Environment, log_policy: Array) -> Array:
    """The law of ARMS[arm]: one program for all of them, in which only the arm's own design is solved."""
    b = bl.samplers
    branches = {
        "design": lambda: laws["triple"],
        "hybrid_paired": lambda: paired(laws["triple"], log_policy),
        "on_policy": lambda: b.on_policy(env, log_policy),
        "reweighted": lambda: b.reweighted(env, log_policy),
        "plug_in_oracle": lambda: b.plug_in_oracle(env, log_policy),
        "oracle": lambda: laws["oracle"],
    }
    return jax.lax.switch(arm.astype(int), [branches[name] for name in ARMS])


def paired(law: Array, log_policy: Array) -> Array:
    """`bl.samplers.paired` on a symmetric law (S, A, A): x from its contexts, y ~ pi_k against y' ~ nu(.|x)."""
    return jnp.exp(log_policy)[:, :, None] * jnp.sum(law, axis=1)[:, None, :]


def simulate(
    instance: str, arm: str, laws: Mapping[str, np.ndarray], *, beta: float, num_pairs: float, num_rounds: int,
    num_seeds: int, ridge: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """KL after every round, (num_seeds, num_rounds), and the failures; each fit uses all labels.

    Args:
        laws: the triple design's and the oracle's, (S, A, A).
    """
    env = sampler_zoo.shaped(sampler_zoo.INSTANCES[instance](beta=beta))
    sampler = Partial(_sampler, jax.tree.map(jnp.asarray, dict(laws)), jnp.asarray(float(ARMS.index(arm))))
    run = bl.simulate(
        bl.algorithms.dpo(sampler, num_pairs, ridge=ridge, pooled=True), env, num_rounds=num_rounds,
        num_seeds=num_seeds, metrics=("kl_target", "existence"), record_params=False,
    )  # fmt: skip
    return {"kl": run.metrics["kl_target"]} | failures(run.failures)
