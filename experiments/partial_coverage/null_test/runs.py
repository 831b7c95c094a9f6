"""Data sets and fits of `null_test`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab.algorithms.rlhf import rlhf
from banditlab.estimators.descent import descend
from banditlab.exact.bradley_terry import strongly_connected
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.partial_coverage.null_test.experiment import Config


def simulate(config: Config) -> dict[str, np.ndarray]:
    """Data sets and log-policies (N, ..., A): of DPO, of plain and bounded RLHF, of gradient descent."""
    rng = np.random.default_rng(config.seed)
    shape = (config.num_data, 1, config.num_actions)
    rewards = config.spread * rng.standard_normal(shape)
    references = np.log(rng.dirichlet(np.full(config.num_actions, config.concentration), shape[:2]))
    seen = np.arange(config.num_actions) < config.num_seen
    template = bl.instances.tabular(rewards[0], references[0], beta=config.beta)
    template = template.replace(initial_params=np.zeros(config.num_actions))
    dpo, plain = bl.algorithms.offline_dpo(config.num_labels), rlhf(config.num_labels)
    bounded = rlhf(config.num_labels, 1.0)
    arrays = [jnp.asarray(values) for values in (rewards, references, seen, config.bounds)]
    keys = jax.random.split(jax.random.key(config.seed), config.num_data)
    found = jax.device_get(_fits(template, dpo, plain, bounded, keys, *arrays, jnp.asarray(config.steps)))
    exists = strongly_connected(found["wins"][:, : config.num_seen, : config.num_seen])
    failed = {
        "data sets without a maximum of the likelihood": ~exists,
        "fits not converged": found["status"][exists] != 0,
        "labels that differ between the two": (found["wins"] != found["rlhf_wins"])[exists],
    }
    return found | failures(failed)


@jax.jit
def _fits(template, dpo, plain, bounded, keys, rewards, references, seen, bounds, steps):
    def one(key, reward, log_reference):
        env = template.replace(
            reward=reward, log_reference=log_reference, initial_params=jnp.where(seen, log_reference[0], -800.0)
        )
        # The same key: the same labels.
        first, bought = dpo.step(key, dpo.init(key, env), env)
        second, fitted = plain.step(key, plain.init(key, env), env)

        def under(bound):
            algorithm = dataclasses.replace(bounded, settings=bounded.settings | {"reward_bound": bound})
            state, info = algorithm.step(key, algorithm.init(key, env), env)
            return state.log_policy[0], bl.metrics.kl_reference(env, state.log_policy), info.status

        policies, kl, statuses = jax.vmap(under)(bounds)
        # L = beta^2/2 bounds the curvature of the mean loss: twice the largest share of labels an action can have,
        # times the largest sigma' = 1/4.
        settings = {"record_at": steps, "step_size": 2.0 / env.beta**2, "penalty": 0.0}
        path = descend(key, env, first.wins, log_reference[0], **settings)
        return {
            "wins": first.wins[0],
            "reference": log_reference[0],
            "rlhf_wins": second.wins[0],
            "reward": second.reward[0],
            "dpo": first.log_policy[0],
            "rlhf": second.log_policy[0],
            "bounded": policies,
            "kl": kl,
            "descent": path.params,
            "norm": path.gradient_norm,
            "status": jnp.concatenate([jnp.stack([bought.status, fitted.status]), statuses]),
        }

    return jax.lax.map(lambda args: one(*args), (keys, rewards, references), batch_size=256)
