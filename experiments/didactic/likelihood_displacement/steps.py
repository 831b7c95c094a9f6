"""Single steps of the losses on random pairs, by autodiff, and the laws of winners and losers that runs train on."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import batches, losses, pairs, policies
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings

ALGORITHMS = ("dpo", "ipo", "pref_ft")
NEGATIVE = ("dpo", "ipo")
SIDES = ("chosen", "rejected", "other")


def gradient_steps(
    algorithm: str, tables: dict[str, np.ndarray], settings: Settings, step_size: float
) -> dict[str, np.ndarray]:
    """Measured changes (K,) of log pi of winner, loser and a third action, by autodiff of `losses` on one pair each.

    tables: logits and log_reference (K, A); winner, loser, other (K,) actions.
    """
    loss = losses.ALGORITHMS[algorithm].loss
    rewards = jnp.asarray([[1.0, 0.0]])

    @jax.jit
    @jax.vmap
    def moves(logits: Array, log_reference: Array, winner: Array, loser: Array, other: Array) -> Array:
        drawn = jnp.stack([winner, loser])[None, :]

        def value(theta: Array) -> Array:
            log_probs = jax.nn.log_softmax(theta)[drawn]
            return loss(log_probs, log_reference[drawn], rewards, log_reference[drawn], settings)

        stepped = logits - step_size * jax.grad(value)(logits)
        change = jax.nn.log_softmax(stepped) - jax.nn.log_softmax(logits)
        return change[jnp.stack([winner, loser, other])]

    found = np.asarray(
        moves(*(jnp.asarray(tables[k]) for k in ("logits", "log_reference", "winner", "loser", "other")))
    )
    return dict(zip(("chosen", "rejected", "other"), found.T, strict=True))


def random_tables(seed: int, count: int, num_actions: int) -> dict[str, np.ndarray]:
    """Policies and references far apart, and three different actions each."""
    generator = np.random.default_rng(seed)
    logits, reference = generator.normal(0.0, 1.5, (2, count, num_actions))
    log_reference = reference - np.logaddexp.reduce(reference, axis=1, keepdims=True)
    actions = generator.permuted(np.tile(np.arange(num_actions), (count, 1)), axis=1)[:, :3].T
    names = dict(zip(("winner", "loser", "other"), actions, strict=True))
    return {"logits": logits, "log_reference": log_reference} | names


def winner_laws(bandit: Problem, num_states: int, num_samples: int, seeds: int, seed: int) -> dict[str, np.ndarray]:
    """The offline data sets of `training.train`, counted: laws of winners and losers (seeds, A), pairs (seeds,)."""
    keys = np.array([np.random.SeedSequence((seed, place)).generate_state(2) for place in range(seeds)])

    def actions(key: Array) -> Array:
        arguments = (policies.tabular(), None, bandit, Settings(), num_states, num_samples, None, bandit.reward)
        return batches.draw(key, jnp.uint32(0), *arguments).actions

    drawn = np.asarray(jax.jit(jax.vmap(actions))(keys))
    first, second = (drawn[:, :, index].reshape(seeds, -1) for index in np.triu_indices(num_samples, 1))
    reward = np.asarray(bandit.reward)
    gap = reward[first] - reward[second]
    sides = {"winners": np.where(gap > 0, first, second), "losers": np.where(gap > 0, second, first)}
    assert sides["winners"].shape[1] == num_states * pairs.count(num_samples)
    laws = {}
    for name, chosen in sides.items():
        counts = np.zeros((seeds, len(reward)))
        np.add.at(counts, (np.arange(seeds)[:, None], chosen), gap != 0)
        laws[name] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return laws | {"pairs": (gap != 0).sum(1)}
