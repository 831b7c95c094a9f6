"""Habit and target: a corpus that repeats one string, a reward for another."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.llm import listing
from banditlab.llm.policy import Prompts, Responses, responses

# pi*(target) per position of the default task, which the coverage dial holds fixed.
_ODDS = 0.5 / 8 * math.exp(1.5 / 0.5) / (1 - 0.5 / 8)
TARGET_PROB = _ODDS / (1 + _ODDS)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HabitTarget:
    """Every prompt has a habit, which the corpus repeats with noise, and a target, which is rewarded.

    Positions are independent. Corpus: the habit's symbol with probability 1 - noise, else one of all V symbols,
    uniformly. Reward: `match_reward` for every position that matches the target, which differs from the habit in
    all of them; so the corpus plays a target symbol with probability p = noise / V, and pi* with
    t = p e^{match_reward / beta} / Z, Z = 1 - p + p e^{match_reward / beta}. Build it with `habit_target`.

    Attributes:
        habit, target: (S, T) int32 symbols.
        noise, match_reward, beta: () floats of the working precision.
        num_symbols: V.
    """

    habit: Array
    target: Array
    noise: Array
    match_reward: Array
    beta: Array
    num_symbols: int = dataclasses.field(metadata={"static": True})

    @property
    def num_prompts(self) -> int:
        return self.habit.shape[0]

    @property
    def length(self) -> int:
        """T."""
        return self.habit.shape[1]

    @property
    def eos(self) -> None:
        """All responses have T symbols."""
        return None

    @property
    def num_responses(self) -> int:
        return self.num_symbols**self.length

    @property
    def prompts(self) -> Prompts:
        """The S prompts: the number of each in base V."""
        return listing.numbered_prompts(self.num_prompts, self.num_symbols)

    @property
    def responses(self) -> Responses:
        """All V^T responses, in the order of the tables."""
        return listing.all_responses(self.num_symbols, self.length)

    def reward(self, prompt: Array, tokens: Array) -> Array:
        """(B,) of responses (B, T) to prompts (B,), numbered from 0."""
        matches = jnp.sum(tokens == self.target[prompt], axis=1, dtype=jnp.int32)
        return self.match_reward * matches.astype(self.match_reward.dtype)

    def sample_corpus(self, key: Array, prompt: Array) -> Responses:
        """One response of the corpus to each of the prompts (B,), numbered from 0."""
        habit = self.habit[prompt]
        noise = self.noise.astype(jnp.float32)
        uniform = jax.random.uniform(key, habit.shape, jnp.float32)
        # Given that it is below the noise, the number is uniform below it and names the symbol.
        symbol = jnp.minimum((uniform / noise * self.num_symbols).astype(jnp.int32), self.num_symbols - 1)
        return responses(jnp.where(uniform < noise, symbol, habit))

    @property
    def reward_table(self) -> np.ndarray:
        """(S, V^T)."""
        return float(self.match_reward) * self._matches(self.target)

    @property
    def log_corpus(self) -> np.ndarray:
        """(S, V^T) log-probability of every response under the corpus."""
        habitual, p = self._matches(self.habit), self.reference_prob
        return habitual * math.log1p(p - float(self.noise)) + (self.length - habitual) * math.log(p)

    @property
    def reference_prob(self) -> float:
        """p, the corpus's probability of the target symbol at a position."""
        return float(self.noise) / self.num_symbols

    @property
    def target_prob(self) -> float:
        """t, pi*'s probability of the target symbol at a position, with the corpus law as the reference."""
        tilted = self.reference_prob * math.exp(float(self.match_reward) / float(self.beta))
        return tilted / (1 - self.reference_prob + tilted)

    @property
    def coverage(self) -> float:
        """E_{pi*}[pi*/pi_ref] = (t^2 / p + (1 - t)^2 / (1 - p))^T, with the corpus law as the reference."""
        p, t = self.reference_prob, self.target_prob
        return (t**2 / p + (1 - t) ** 2 / (1 - p)) ** self.length

    @property
    def optimum(self) -> float:
        """J(pi*) = T beta log Z, with the corpus law as the reference."""
        beta = float(self.beta)
        return self.length * beta * math.log1p(self.reference_prob * math.expm1(float(self.match_reward) / beta))

    def _matches(self, wanted: Array) -> np.ndarray:
        """(S, V^T), the number of positions at which a response has the wanted symbol (S, T)."""
        answers = listing.digits(self.num_responses, self.num_symbols, self.length)
        return (answers[None] == np.asarray(wanted)[:, None]).sum(axis=2).astype(float)


def habit_target(
    *,
    num_symbols: int = 8,
    length: int = 4,
    num_prompts: int = 16,
    noise: float = 0.5,
    match_reward: float = 1.5,
    beta: float = 0.5,
    seed: int = 0,
) -> HabitTarget:
    """The habit-target task, its habits and targets drawn from `seed`.

    Raises:
        ValueError: if a size is not a whole number, num_symbols is below 2, noise is not in (0, 1], or match_reward
            or beta is not positive.
    """
    symbols, length = int(validation.whole("num_symbols", num_symbols)), int(validation.whole("length", length))
    if symbols < 2:
        raise ValueError(f"num_symbols must be at least 2, for a target that is not the habit; got {num_symbols}")
    if validation.positive("noise", noise) > 1:
        raise ValueError(f"noise must be at most 1; got {noise}")
    rng = np.random.default_rng(validation.index("seed", seed))
    shape = (int(validation.whole("num_prompts", num_prompts)), length)
    habit = rng.integers(0, symbols, shape)
    target = (habit + rng.integers(1, symbols, shape)) % symbols
    precision = jnp.result_type(float)
    return HabitTarget(
        jnp.asarray(habit, jnp.int32),
        jnp.asarray(target, jnp.int32),
        jnp.asarray(noise, precision),
        jnp.asarray(validation.positive("match_reward", match_reward), precision),
        jnp.asarray(validation.positive("beta", beta), precision),
        symbols,
    )


def coverage_dial(
    noise: float = 0.5,
    *,
    target_prob: float = TARGET_PROB,
    num_symbols: int = 8,
    length: int = 4,
    num_prompts: int = 16,
    beta: float = 0.5,
    seed: int = 0,
) -> HabitTarget:
    """`habit_target` whose corpus shows less of the target as `noise` falls while pi*(target) stays.

    The match reward is beta log [t (1 - p) / ((1 - t) p)], t = target_prob per position, p = noise / num_symbols.

    Raises:
        ValueError: as `habit_target`, or unless p < target_prob < 1.
    """
    p = validation.positive("noise", noise) / validation.whole("num_symbols", num_symbols)
    if not p < validation.positive("target_prob", target_prob) < 1:
        raise ValueError(f"target_prob must lie above noise / num_symbols = {p:.4g} and below 1; got {target_prob}")
    reward = validation.positive("beta", beta) * math.log(target_prob * (1 - p) / ((1 - target_prob) * p))
    sizes = {"num_symbols": num_symbols, "length": length, "num_prompts": num_prompts}
    return habit_target(noise=noise, match_reward=reward, beta=beta, seed=seed, **sizes)
