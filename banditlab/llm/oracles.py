"""Who labels: the task's reward, Bradley-Terry labels of it, or a reward model learned from such labels."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from banditlab import estimators, preferences, validation
from banditlab.environment import Environment
from banditlab.llm.policy import Responses
from banditlab.llm.tasks import Task


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Oracle:
    """Whose rewards are compared, and how a comparison of two rewards becomes a label.

    Attributes:
        labeller: one of the bandit's that reads nothing but the rewards.
        ridge: () of the learned reward model.
        num_pairs: labelled pairs the reward model is fitted to; 0: the rewards are the task's own.
    """

    labeller: Partial
    ridge: Array
    num_pairs: int = dataclasses.field(default=0, metadata={"static": True})

    @property
    def learned(self) -> bool:
        return self.num_pairs > 0


class RewardModel(NamedTuple):
    """A reward that adds up over positions: `weights` (S, T, V) of symbol v at position t of an answer to prompt x."""

    weights: Array

    def reward(self, prompt: Array, responses: Responses) -> Array:
        """(B,) of responses of B rows to prompts (B,), numbered from 0."""
        place = jnp.arange(responses.tokens.shape[1], dtype=jnp.int32)[None]
        terms = self.weights[prompt[:, None], place, responses.tokens]
        return jnp.sum(jnp.where(responses.mask, terms, 0.0), axis=1)


class Labels(NamedTuple):
    """What the oracle says of B pairs, each (B,): does the first win, and the observed reward, first minus second."""

    wins: Array
    observed: Array


def reward() -> Oracle:
    """The response of the larger reward always wins; equal rewards are a fair coin."""
    return Oracle(Partial(preferences.deterministic), jnp.zeros((), jnp.float32))


def bradley_terry() -> Oracle:
    """P(y wins) = sigma(r(y) - r(y')), r the task's reward."""
    return Oracle(Partial(preferences.bradley_terry), jnp.zeros((), jnp.float32))


def learned(*, num_pairs: int = 2048, ridge: float = 1.0) -> Oracle:
    """Bradley-Terry labels of a reward model, itself fitted once to `num_pairs` Bradley-Terry labels of the task.

    The pairs are drawn from the reference before the first round; they are all the labels that are bought. The model
    is linear in one indicator per prompt, position and symbol, so it contains every reward that adds up over
    positions (habit-target) and, where responses end, every reward of the length alone; a reward that is neither is
    projected. Its ridge weighs against the SUM of the losses and shrinks what the reference rarely shows towards zero.

    Raises:
        ValueError: if num_pairs is not a whole number or ridge not positive (the indicators are redundant).
    """
    size = int(validation.whole("num_pairs", num_pairs))
    return Oracle(
        Partial(preferences.bradley_terry), jnp.asarray(validation.positive("ridge", ridge), jnp.float32), size
    )


NAMES = {"reward": reward, "bradley_terry": bradley_terry, "learned": learned}


def get(oracle: str | Oracle) -> Oracle:
    """An oracle by its name, or the oracle itself.

    Raises:
        ValueError: for a name that is none of `NAMES`.
    """
    return oracle if isinstance(oracle, Oracle) else NAMES[validation.choice("oracle", oracle, tuple(NAMES))]()


def compare(
    oracle: Oracle,
    model: RewardModel | None,
    task: Task,
    key: Array,
    prompt: Array,
    first: Responses,
    second: Responses,
    *,
    noise: Array | None = None,
) -> Labels:
    """Labels of B pairs; with `noise` () the label is the sign of the observed difference itself.

    Args:
        model: of the rewards; None: the task's.
        noise: standard deviation of the observed difference.
    """
    rewards = [task.reward(prompt, r.tokens) if model is None else model.reward(prompt, r) for r in (first, second)]
    gap = rewards[0] - rewards[1]
    if noise is not None:
        observed = gap + noise.astype(gap.dtype) * jax.random.normal(key, gap.shape, gap.dtype)
        return Labels(observed >= 0, observed)
    uniform = jax.random.uniform(key, gap.shape, gap.dtype)
    return Labels(uniform < oracle.labeller(_bandit(jnp.stack(rewards, axis=1)))[:, 0, 1], gap)


def fit(oracle: Oracle, task: Task, prompt: Array, chosen: Responses, rejected: Responses) -> RewardModel:
    """The reward model of labelled pairs of B rows: the bandit's estimator, one context of two actions a pair."""
    symbols = task.num_symbols
    features = jnp.stack([_indicators(r, symbols) for r in (chosen, rejected)], axis=1)
    pairs = _bandit(jnp.zeros(features.shape[:2], features.dtype), features)
    own = (prompt[None] == jnp.arange(task.num_prompts, dtype=jnp.int32)[:, None]).astype(features.dtype)
    wins = own[:, :, None, None] * jnp.asarray([[0.0, 1.0], [0.0, 0.0]], features.dtype)[None, None]
    # The indicators of different prompts share nothing: a fit for each.
    weights = jax.vmap(lambda w: estimators.fit(pairs, w, ridge=oracle.ridge).params)(wins)
    return RewardModel(weights.reshape(task.num_prompts, -1, symbols))


def _indicators(responses: Responses, num_symbols: int) -> Array:
    """(B, T V), one per position and symbol, zero after the end."""
    shown = jax.nn.one_hot(responses.tokens, num_symbols, dtype=jnp.result_type(float))
    return jnp.where(responses.mask[:, :, None], shown, 0.0).reshape(len(shown), -1)


def _bandit(rewards: Array, features: Array | None = None) -> Environment:
    """Rewards (B, 2) as a bandit whose contexts are the pairs, so that labellers and estimators are the bandit's."""
    features = jnp.zeros((*rewards.shape, 0), rewards.dtype) if features is None else features
    size = features.shape[-1]
    uniform = jnp.zeros_like(rewards)
    return Environment(
        features,
        jnp.full(len(rewards), 1 / len(rewards), rewards.dtype),
        uniform,
        uniform,
        jnp.ones((), rewards.dtype),
        jnp.eye(size, dtype=rewards.dtype),
        given_reward=rewards,
        reference_params=jnp.zeros(size, rewards.dtype),
        reference_missed=jnp.zeros((), rewards.dtype),
    )
