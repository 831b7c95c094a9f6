"""Length: a corpus with a law of lengths, a reward of the length alone, and an end that must be chosen."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike
from scipy import special

from banditlab import validation
from banditlab.llm import listing
from banditlab.llm.policy import Prompts, Responses, responses
from banditlab.numerics.compilation import inner


class LengthLaw(NamedTuple):
    """The law of the length L, 0..T, of a policy's responses: (S, T + 1) each.

    Attributes:
        survival: S_l = P(L >= l) = prod_{i <= l} (1 - h_i), h_i the chance of the end after i - 1 symbols.
        probs: P(L = l) = S_l - S_{l+1}; at l = T the response was cut off.
    """

    survival: Array
    probs: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LengthTask:
    """The length of a response, the symbols before its end, is rewarded for being near one length.

    Corpus: a length L of law p_0 .. p_T, then L symbols, uniform over the V - 1 that do not end, then the end token
    V - 1 (none after T symbols). Reward: -slope |L - wanted|. So pi* has lengths of law q_l = p_l e^{r_l / beta} / Z
    and uniform symbols, and everything about it is a sum over lengths. The prompts are numbers that mean nothing.
    Build it with `min_length`, `mode_length` or `skew_length`.

    Attributes:
        length_probs: (T + 1,) p.
        wanted, slope, beta: () floats of the working precision.
        num_symbols: V, the end token included.
        num_prompts: S.
    """

    length_probs: Array
    wanted: Array
    slope: Array
    beta: Array
    num_symbols: int = dataclasses.field(metadata={"static": True})
    num_prompts: int = dataclasses.field(metadata={"static": True})

    @property
    def length(self) -> int:
        """T."""
        return self.length_probs.shape[0] - 1

    @property
    def eos(self) -> int:
        """The end token, the last symbol."""
        return self.num_symbols - 1

    @property
    def num_responses(self) -> int:
        return listing.num_responses(self.num_symbols, self.length, self.eos)

    @property
    def prompts(self) -> Prompts:
        """The S prompts: the number of each in base V - 1; the end token is not in them."""
        return listing.numbered_prompts(self.num_prompts, self.num_symbols - 1)

    @property
    def responses(self) -> Responses:
        """All sum_{l <= T} (V - 1)^l responses, short ones first, in the order of the tables."""
        return listing.all_responses(self.num_symbols, self.length, self.eos)

    @property
    def hazard(self) -> np.ndarray:
        """(T,) h_l = p_{l-1} / S_{l-1}, the corpus's chance of the end after l - 1 symbols."""
        probs = np.asarray(self.length_probs)
        return (probs / np.cumsum(probs[::-1])[::-1])[:-1]

    def response_lengths(self, tokens: Array) -> Array:
        """(B,) int32, symbols before the end of responses (B, T)."""
        before = jnp.cumsum(tokens == self.eos, axis=1, dtype=jnp.int32) == 0
        return jnp.sum(before, axis=1, dtype=jnp.int32)

    def reward(self, prompt: Array, tokens: Array) -> Array:
        """(B,) of responses (B, T); the prompts (B,) do not matter."""
        del prompt
        return -self.slope * jnp.abs(self.response_lengths(tokens).astype(self.slope.dtype) - self.wanted)

    def sample_corpus(self, key: Array, prompt: Array) -> Responses:
        """One response of the corpus to each of the prompts (B,)."""
        key_length, key_symbols = jax.random.split(key)
        shape = (prompt.shape[0], self.length)
        ends = jnp.cumsum(self.length_probs)[:-1].astype(jnp.float32)
        uniform = jax.random.uniform(key_length, shape[:1], jnp.float32)
        size = jnp.sum(uniform[:, None] >= ends[None], axis=1, dtype=jnp.int32)[:, None]
        symbols = jax.random.randint(key_symbols, shape, 0, self.num_symbols - 1, jnp.int32)
        column = jnp.arange(self.length, dtype=jnp.int32)[None]
        tokens = jnp.where(column < size, symbols, jnp.where(column == size, self.eos, 0))
        return responses(tokens, column <= size)

    @property
    def reward_table(self) -> np.ndarray:
        """(S, A)."""
        return self._table(self.length_rewards)

    @property
    def log_corpus(self) -> np.ndarray:
        """(S, A) log-probability of every response under the corpus."""
        spread = np.arange(self.length + 1) * math.log(self.num_symbols - 1)
        return self._table(np.log(np.asarray(self.length_probs)) - spread)

    @property
    def length_rewards(self) -> np.ndarray:
        """(T + 1,)."""
        return -float(self.slope) * np.abs(np.arange(self.length + 1) - float(self.wanted))

    @property
    def target_length_probs(self) -> np.ndarray:
        """(T + 1,) q, the lengths of pi*, with the corpus law as the reference."""
        return np.asarray(special.softmax(self._tilted))

    @property
    def coverage(self) -> float:
        """E_{pi*}[pi*/pi_ref] = sum_l q_l^2 / p_l, with the corpus law as the reference."""
        return float((self.target_length_probs**2 / np.asarray(self.length_probs)).sum())

    @property
    def optimum(self) -> float:
        """J(pi*) = beta log sum_l p_l e^{r_l / beta}, with the corpus law as the reference."""
        return float(self.beta) * float(np.logaddexp.reduce(self._tilted))

    def length_law(self, log_policy: ArrayLike) -> LengthLaw:
        """The exact law of lengths of a policy's table (S, A): of what it does with every prefix, not of samples."""
        table = jnp.asarray(log_policy)
        validation.shape("log_policy", table, (self.num_prompts, self.num_responses))
        return _length_law(table, np.repeat(np.arange(self.length + 1, dtype=np.int32), self._counts), self.length)

    @property
    def _counts(self) -> list[int]:
        """Number of responses of every length."""
        return [(self.num_symbols - 1) ** size for size in range(self.length + 1)]

    @property
    def _tilted(self) -> np.ndarray:
        return np.log(np.asarray(self.length_probs)) + self.length_rewards / float(self.beta)

    def _table(self, of_length: np.ndarray) -> np.ndarray:
        return np.tile(np.repeat(of_length, self._counts), (self.num_prompts, 1))


def min_length(
    *,
    num_symbols: int = 3,
    length: int = 10,
    num_prompts: int = 4,
    mode: float = 6.0,
    spread: float = 1.5,
    slope: float = 0.75,
    beta: float = 0.5,
) -> LengthTask:
    """Shorter is better: the reward asks for length 0, far in the tail of a corpus of bell-shaped lengths.

    Args:
        num_symbols: V, the end token included.
        length: T.
        mode, spread: p_l proportional to exp(-(l - mode)^2 / (2 spread^2)).

    Raises:
        ValueError: if a size is not a whole number, num_symbols is below 2 (or is 2, with more than one prompt),
            there are more than 2^20 responses, spread, slope or beta is not positive, or mode not in 0..length.
    """
    probs = _bell(length, mode, spread)
    return _length_task(probs, 0.0, num_symbols=num_symbols, num_prompts=num_prompts, slope=slope, beta=beta)


def mode_length(
    *,
    num_symbols: int = 3,
    length: int = 10,
    num_prompts: int = 4,
    mode: float = 6.0,
    spread: float = 1.5,
    slope: float = 0.75,
    beta: float = 0.5,
) -> LengthTask:
    """The corpus's commonest length is the best: `min_length`, its errors too, with the reward's peak at the mode."""
    probs = _bell(length, mode, spread)
    return _length_task(probs, mode, num_symbols=num_symbols, num_prompts=num_prompts, slope=slope, beta=beta)


def skew_length(
    *,
    num_symbols: int = 3,
    length: int = 10,
    num_prompts: int = 4,
    hazard: float = 0.4,
    wanted: float = 8.0,
    slope: float = 0.75,
    beta: float = 0.5,
) -> LengthTask:
    """A skewed corpus, short responses far the commonest, and a reward for a length in its thin tail.

    Args:
        hazard: chance of the end at every step, in (0, 1): p_l = hazard (1 - hazard)^l up to T, which gets the rest.
        wanted: the best length, 0..length.

    Raises:
        ValueError: as `min_length`, or for a hazard not in (0, 1).
    """
    if not 0 < validation.positive("hazard", hazard) < 1:
        raise ValueError(f"hazard must lie between 0 and 1; got {hazard}")
    longest = int(validation.whole("length", length))
    if not 0 <= validation.positive("wanted", wanted, zero=True) <= longest:
        raise ValueError(f"wanted must lie in 0..{longest}; got {wanted}")
    sizes = np.arange(longest + 1)
    probs = (1 - hazard) ** sizes * np.where(sizes == longest, 1.0, hazard)
    return _length_task(probs, wanted, num_symbols=num_symbols, num_prompts=num_prompts, slope=slope, beta=beta)


@inner("an eager call would dispatch its operations one by one", static="longest")
def _length_law(log_policy: Array, lengths: np.ndarray, longest: int) -> LengthLaw:
    mass = jnp.zeros((log_policy.shape[0], longest + 1), log_policy.dtype).at[:, lengths].add(jnp.exp(log_policy))
    return LengthLaw(jnp.cumsum(mass[:, ::-1], axis=1)[:, ::-1], mass)


def _bell(length: int, mode: float, spread: float) -> np.ndarray:
    longest = int(validation.whole("length", length))
    if not 0 <= validation.positive("mode", mode, zero=True) <= longest:
        raise ValueError(f"mode must lie in 0..{longest}; got {mode}")
    offsets = np.arange(longest + 1) - mode
    return special.softmax(-(offsets**2) / (2 * validation.positive("spread", spread) ** 2))


def _length_task(
    probs: np.ndarray, wanted: float, *, num_symbols: int, num_prompts: int, slope: float, beta: float
) -> LengthTask:
    symbols = int(validation.whole("num_symbols", num_symbols))
    prompts = int(validation.whole("num_prompts", num_prompts))
    if symbols < 2:
        raise ValueError(f"num_symbols must be at least 2, one of them the end; got {num_symbols}")
    if symbols == 2 and prompts > 1:
        raise ValueError(f"num_prompts must be 1 with num_symbols = 2, of one symbol; got {num_prompts}")
    listing.num_responses(symbols, len(probs) - 1, symbols - 1)
    precision = jnp.result_type(float)
    return LengthTask(
        length_probs=jnp.asarray(probs, precision),
        wanted=jnp.asarray(wanted, precision),
        slope=jnp.asarray(validation.positive("slope", slope), precision),
        beta=jnp.asarray(validation.positive("beta", beta), precision),
        num_symbols=symbols,
        num_prompts=prompts,
    )
