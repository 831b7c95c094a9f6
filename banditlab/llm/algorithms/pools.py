"""Pairs from pools of candidates: a pool is a bandit whose arms are its distinct responses."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import designs
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
    """The G-optimal design of every pool's distinct candidates, by the bandit's solver; pools are equally likely.

    Args:
        distinct: (S, C) bool, which candidates stand for a response of their own; the first of a pool always does.

    Returns:
        Of one-hot features uniform over the distinct candidates, of which both of a pair are drawn independently, so
        1/m of the pairs compare a response with itself (docs/theory.md, Proposition 63). The gap is the
        largest of any pool.
    """
    size = distinct.shape[0]
    gap = float(jnp.finfo(jnp.result_type(float)).eps) ** 0.5
    found = jax.vmap(lambda row: designs.conditional_nodes(_bandit(row), gap=gap))(distinct)
    return Design(
        pair_law=2 / size * found.pair_law[:, 0],
        weights=2 / size * found.weights[:, 0],
        context_probs=2 / size * found.context_probs[:, 0],
        action_probs=found.action_probs[:, 0],
        duality_gap=jnp.max(found.duality_gap),
        num_steps=jnp.max(found.num_steps),
        converged=jnp.all(found.converged),
    )


def _bandit(distinct: Array) -> Environment:
    """A pool as context 0 of a bandit with one indicator for every candidate but the first.

    A design wants features whose rank does not depend on data. Context 1 asks for the indicators that no candidate of
    the pool has, against the first: what is orthogonal to the pool's and leaves its design alone.
    """
    count = distinct.shape[0]
    dtype = jnp.result_type(float)
    spare = ~distinct | (jnp.arange(count, dtype=jnp.int32) == 0)
    log_base = jnp.log(jnp.where(jnp.stack([distinct, spare]), 1.0, 0.0).astype(dtype))
    indicators = jnp.broadcast_to(jnp.eye(count, dtype=dtype)[:, 1:], (2, count, count - 1))
    half, one = jnp.full(2, 0.5, dtype), jnp.ones((), dtype)
    return Environment(indicators, half, log_base, log_base, one, jnp.eye(count - 1, dtype=dtype))


def pair_law(pool: Pool, scheme: str) -> Array:
    """(S, C, C) of a pair of candidates, of mass 1 / S for each prompt."""
    size, count = pool.first.shape
    place = jnp.arange(count, dtype=jnp.int32)
    dtype = jnp.result_type(float)
    # The policy's candidates as a law: each counts where the same response first stands.
    hits = jnp.where(pool.first[:, count // 2 :, None] == place[None, None], 1.0, 0.0).astype(dtype)
    log_policy = jnp.log(jnp.mean(hits, axis=1))
    nothing, share = jnp.zeros((size, count, 0), dtype), jnp.full(size, 1 / size, dtype)
    env = Environment(nothing, share, log_policy, log_policy, jnp.ones((), dtype), jnp.zeros((0, 0), dtype))
    return SCHEMES[scheme](design(pool.first == place[None]), env, log_policy).astype(jnp.float32)


def draw_pairs(key: Array, law: Array, prompt: Array) -> tuple[Array, Array]:
    """Rows (B,) int32 of the pool's candidates, two for each of the prompts (B,), by the pair law (S, C, C)."""
    count = law.shape[1]
    flat = jnp.log(law.reshape(law.shape[0], -1))
    key_first, key_second = jax.random.split(key)
    marginal = jnp.log(jnp.sum(law, axis=2))[prompt]
    first = jax.random.categorical(key_first, marginal).astype(jnp.int32)
    second = jax.random.categorical(key_second, flat.reshape(law.shape)[prompt, first]).astype(jnp.int32)
    return prompt * count + first, prompt * count + second
