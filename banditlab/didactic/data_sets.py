"""The offline data sets that `training.train` draws for a table, by seed, and the laws of their winners and losers."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import batches, pairs, policies
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings
from banditlab.numerics.compilation import inner


def actions(bandit: Problem, num_states: int, num_samples: int, seeds: int, seed: int) -> np.ndarray:
    """(seeds, B, N) draws of the reference."""
    keys = np.array([np.random.SeedSequence((seed, place)).generate_state(2) for place in range(seeds)])

    def one(key: Array) -> Array:
        arguments = (policies.tabular(), None, bandit, Settings(), num_states, num_samples, None, bandit.reward)
        return batches.draw(key, jnp.uint32(0), *arguments).actions

    drawn = inner("an eager call would dispatch its operations one by one")(jax.vmap(one))(jnp.asarray(keys))
    return np.asarray(drawn)


def winner_laws(bandit: Problem, num_states: int, num_samples: int, seeds: int, seed: int) -> dict[str, np.ndarray]:
    """The data sets, counted: laws of winners and losers (seeds, A), pairs (seeds,)."""
    drawn = actions(bandit, num_states, num_samples, seeds, seed)
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
