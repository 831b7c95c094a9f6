"""Pairs from pools of candidates: a pool is a bandit whose arms are its distinct responses."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.designs import Design
from banditlab.environment import Environment
from banditlab.llm import decoder
from banditlab.llm.model import LanguageModel
from banditlab.llm.policy import Prompts, Responses
from banditlab.samplers import designed, half_designed, paired

SCHEMES = {"design": designed, "paired": paired, "mixture": half_designed}


class Pool(NamedTuple):
    """C = 2 K candidates of each of S prompts, in S C rows: a prompt's rows follow each other, the reference's first.

    Attributes:
        prompts, responses: of S C rows.
        first: (S, C) int32, the first candidate of the pool that is the same response; its own number if distinct.
    """

    prompts: Prompts
    responses: Responses
    first: Array


def draw(
    model: LanguageModel, params: decoder.Params, reference: decoder.Params, prompts: Prompts, key: Array, count: int
) -> Pool:
    """`count` candidates of the reference and as many of the policy for each of S prompts."""
    size = prompts.tokens.shape[0]
    halves = []
    for half, sampler in enumerate((reference, params)):
        repeated = Prompts(*(jnp.repeat(leaf, count, axis=0) for leaf in prompts))
        rows = jnp.arange(size * count, dtype=jnp.uint32) + half * size * count
        drawn = model.sample(sampler, repeated, key, rows=rows)
        halves.append(jax.tree.map(lambda leaf: leaf.reshape(size, count, -1), drawn))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *halves)
    # Tokens are zero after the end, which the mask tells from the symbol zero.
    same = jnp.all(
        (joined.tokens[:, :, None] == joined.tokens[:, None]) & (joined.mask[:, :, None] == joined.mask[:, None]),
        axis=-1,
    )
    rows = jax.tree.map(lambda leaf: leaf.reshape(size * 2 * count, -1), joined)
    repeated = Prompts(*(jnp.repeat(leaf, 2 * count, axis=0) for leaf in prompts))
    return Pool(repeated, rows, jnp.argmax(same, axis=2).astype(jnp.int32))


def design(distinct: Array) -> Design:
    """The G-optimal conditional design of pools with one-hot features, for `distinct` (S, C) bool.

    Uniform over the pairs of distinct candidates. With m arms and a uniform law over their pairs M is 2/(m (m - 1))
    times (m I - 11'), so every difference has z'M^{-1}z = m - 1, which is the dimension: the equivalence theorem
    holds with no gap. No other law is optimal, as log det is strictly concave and the zz' of the pairs are linearly
    independent. So on one-hot features the design knows nothing but which candidates are equal; `banditlab.designs`
    finds the same law (a test), and needs not be called. A pool of one response has its self-pair.
    """
    size, count = distinct.shape
    arms = jnp.sum(distinct, axis=1, dtype=jnp.int32)[:, None, None]
    both = distinct[:, :, None] & distinct[:, None, :]
    allowed = both & (~jnp.eye(count, dtype=bool)[None] | (arms == 1))
    law = jnp.where(allowed, 1.0, 0.0).astype(jnp.float32)
    law = law / (size * jnp.sum(law, axis=(1, 2), keepdims=True))
    marginal = jnp.sum(law, axis=2)
    zero = jnp.zeros((), jnp.float32)
    found = jnp.ones((), bool)
    return Design(law, law, jnp.sum(marginal, axis=1), size * marginal, zero, jnp.zeros((), jnp.int32), found)


def pair_law(pool: Pool, scheme: str) -> Array:
    """(S, C, C) of a pair of candidates, of mass 1 / S for each prompt."""
    size, count = pool.first.shape
    place = jnp.arange(count, dtype=jnp.int32)
    # The policy's candidates as a law: each counts where the same response first stands.
    hits = jnp.where(pool.first[:, count // 2 :, None] == place[None, None], 1.0, 0.0).astype(jnp.float32)
    log_policy = jnp.log(jnp.mean(hits, axis=1))
    nothing = jnp.zeros((size, count, 0), jnp.float32)
    share = jnp.full(size, 1 / size, jnp.float32)
    one = jnp.ones((), jnp.float32)
    env = Environment(nothing, share, log_policy, log_policy, one, jnp.zeros((0, 0), jnp.float32))
    return SCHEMES[scheme](design(pool.first == place[None]), env, log_policy)


def draw_pairs(key: Array, law: Array, prompt: Array) -> tuple[Array, Array]:
    """Rows (B,) int32 of the pool's candidates, two for each of the prompts (B,), by the pair law (S, C, C)."""
    count = law.shape[1]
    flat = jnp.log(law.reshape(law.shape[0], -1))
    key_first, key_second = jax.random.split(key)
    marginal = jnp.log(jnp.sum(law, axis=2))[prompt]
    first = jax.random.categorical(key_first, marginal).astype(jnp.int32)
    second = jax.random.categorical(key_second, flat.reshape(law.shape)[prompt, first]).astype(jnp.int32)
    return prompt * count + first, prompt * count + second
