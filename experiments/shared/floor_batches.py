"""Fresh batches of any sampler at so many labels that only the constant of I6 is left."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import banditlab as bl
from banditlab.store import failures
from experiments.shared import predictors

INSTANCES: Mapping[str, Callable[..., bl.Environment]] = {
    "chain": partial(bl.instances.chain, start=-1.0),
    "staircase": partial(bl.instances.staircase, num_stairs=3, step=0.5, start=1.0),
    "needle": partial(bl.instances.needle, num_needles=3, rare_mass=0.2),
    "random features": partial(bl.instances.random_features, num_contexts=3, num_actions=5, num_features=3),
}
SAMPLERS = ("offline", "uniform", "on_policy", "design_joint", "design_triple")


def simulate(
    instance: str, settings: list[tuple[str, int]], num_rounds: int, num_seeds: int, seed: int, beta: float
) -> dict[str, np.ndarray]:
    """KL over its prediction, for settings (sampler, labels per batch), in ONE compilation.

    Nothing is capped: with probability e^{-cn} the maximum does not exist or leaves any ball; such fits are counted.
    Returns ratio (settings, num_seeds, num_rounds - 1), KL_{k+1} over its prediction at the realised pi_k, k >= 1;
    remainder (settings,), the order of the O(1/n) term; unproved (settings,), fits without a proved maximum; and
    the failures.
    """
    env = INSTANCES[instance](beta=beta)
    laws = pair_laws(env)
    algorithms = [
        bl.algorithms.dpo(Partial(_sampler, laws[sampler], jnp.asarray(float(sampler == "on_policy"))), num_pairs)
        for sampler, num_pairs in settings
    ]
    metrics = ("kl_target", "existence")
    done = bl.simulate_grid(algorithms, [env], num_rounds=num_rounds, num_seeds=num_seeds, seed=seed, metrics=metrics)
    ratios = []
    for index, algorithm in enumerate(algorithms):
        one = jax.tree.map(lambda leaf, index=index: leaf[index], done)
        ratios.append((one.metrics["kl_target"] / predictors.realised(env, algorithm, one))[:, 1:])
    proved = (done.metrics["existence"] == bl.Existence.exists) & (done.metrics["status"] == bl.Status.converged)
    return {
        "ratio": np.stack(ratios),
        "remainder": np.asarray([float(remainder_order(env, laws[sampler])) / n for sampler, n in settings]),
        "unproved": (~proved).sum(axis=(1, 2)),
    } | failures(done.failures)


def pair_laws(env: bl.Environment) -> dict[str, jax.Array]:
    """The pair law (S, A, A) of every sampler; on-policy's is the one that it tends to."""
    start = env.log_initial
    return {
        "offline": bl.samplers.initial(env, start),
        "uniform": bl.samplers.uniform(env, start),
        "on_policy": bl.samplers.on_policy(env, env.log_target),
        "design_joint": bl.designs.joint(env).pair_law,
        "design_triple": bl.designs.triple(env).pair_law,
    }


def _sampler(law: jax.Array, refreshed: jax.Array, env: bl.Environment, log_policy: jax.Array) -> jax.Array:
    """On-policy pairs where `refreshed` is 1, the fixed law where it is 0: all samplers then share one program."""
    return jnp.where(refreshed > 0, bl.samplers.on_policy(env, log_policy), law)


@jax.jit
def remainder_order(env: bl.Environment, law: jax.Array) -> jax.Array:
    """(rad lam)^2 of Proposition 3 at theta* for one label: rad^2 = beta^2 max z'H^{-1}z, E lam^2 = d (I5)."""
    information = bl.theory.fisher_information(env, law)
    return env.rank * env.beta**2 * bl.coverage.leverage(env, information)
