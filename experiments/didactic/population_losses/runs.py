"""What samples say of the infinite-sample losses: gradients of large batches, and training on large data sets."""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import losses, pairs, training
from banditlab.didactic.policies import tabular
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings
from banditlab.store import failures

PEAKS = {"R1": 70.0, "R2": 20.0}
# Reward and policy of each lane of the growths.
LANES = {"R1, reference": ("R1", "reference"), "R2, uniform": ("R2", "uniform")}

# Draws from the reference, or from the policy itself.
OFFLINE = ("best_of_n", "best_of_n_negative", "best_of_n_worst", "rwr", "awr", "pref_ft", "dpo", "ipo", "reinforce")
ON_POLICY = ("reinforce", "ppo")
# A Bradley-Terry loss needs noisy labels to have a minimum; the others take the larger reward for the winner.
NOISY = ("dpo",)


def growths(
    rewards: np.ndarray,
    log_reference: np.ndarray,
    log_policies: np.ndarray,
    settings: Mapping[str, float],
    shape: Sequence[int],
    seed: int,
) -> dict[str, np.ndarray]:
    """Growth of E_pi R per unit of a descent step, by batches: name -> (L, K), K batches of B states of N draws.

    rewards, log_policies: (L, A), lanes; shape: (K, B, N). On-policy names end in " on-policy".
    """
    num_batches, num_states, num_samples = shape
    keys = jax.random.split(jax.random.key(seed), num_batches)
    numbers = Settings(**{name: np.float64(value) for name, value in settings.items()})
    found = _growths(keys, rewards, log_reference, log_policies, numbers, num_states, num_samples)
    return {name: np.asarray(values).T for name, values in found.items()}


@partial(jax.jit, static_argnames=("num_states", "num_samples"))
def _growths(
    keys: Array, rewards: Array, log_reference: Array, log_policies: Array, settings: Settings, num_states, num_samples
) -> dict[str, Array]:
    def lane(key: Array, reward: Array, log_policy: Array) -> dict[str, Array]:
        policy = jnp.exp(log_policy)
        slope = policy * (reward - jnp.dot(policy, reward))
        found = {}
        key_draws, key_labels = jax.random.split(key)
        # The same uniforms for both laws: their checks share luck, and half of the draws are saved.
        uniforms = jax.random.uniform(key_draws, (num_states, num_samples))
        coins = jax.random.uniform(key_labels, (num_states, num_samples * (num_samples - 1) // 2))
        for law, names, ending in ((log_reference, OFFLINE, ""), (log_policy, ON_POLICY, " on-policy")):
            cumulative = jnp.cumsum(jnp.exp(law))
            drawn = jnp.searchsorted(cumulative, uniforms * cumulative[-1])
            batch = (log_reference[drawn], reward[drawn], law[drawn])
            labels = pairs.label_noisily(coins, batch[1], settings.temperature)
            for name in names:
                extra = {"labels": labels} if name in NOISY else {}

                def loss(logits, name=name, drawn=drawn, batch=batch, extra=extra):
                    log_probs = jax.nn.log_softmax(logits)[drawn]
                    return losses.ALGORITHMS[name].loss(log_probs, *batch, settings, **extra)

                found[name + ending] = -jnp.dot(slope, jax.grad(loss)(log_policy))
        return found

    lanes = jax.vmap(lane, in_axes=(None, 0, 0))
    return jax.lax.map(lambda key: lanes(key, rewards, log_policies), keys)


def trained(
    name: str,
    problem: Problem,
    settings: Mapping[str, float],
    *,
    num_states: int,
    num_samples: int,
    num_steps: int,
    num_seeds: int,
) -> dict[str, np.ndarray]:
    """reward (seeds, 2), E_pi R two thirds on the way and at the end of Adam on all of a data set; failed ()."""
    found = training.train(
        name,
        tabular(),
        problem,
        num_steps=num_steps,
        num_states=num_states,
        num_samples=num_samples,
        on_policy=False,
        seeds=num_seeds,
        settings=Settings(**settings),
        label_mode="bradley_terry" if name in NOISY else "deterministic",
        record_at=(2 * num_steps // 3, num_steps),
    )
    failed = training.failures(found)
    return {"reward": found["reward"], "failed": np.asarray(sum(failed.values()))} | failures(failed)
