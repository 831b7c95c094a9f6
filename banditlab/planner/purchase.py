"""Which pairs to label next: greedily at an estimate, or by apportioning a design."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import coverage, law_checks, preferences, theory, validation
from banditlab.designs.leverage import gram_table
from banditlab.door import Information, Number, Wins, door
from banditlab.environment import Environment
from banditlab.numerics import linalg

# Labels are bought one by one up to this many, beyond it in as many lots of equal size.
MAX_LOTS = 1000


@door
def greedy_pairs(env: Environment, information: Information, num_pairs: Number) -> Array:
    """Whole labels per unordered pair, (S, A, A) above the diagonal, that sum to `num_pairs`.

    Each goes to the pair that lowers tr(V P^{-1}) most, P starting at `information` (rank, rank), positive definite,
    and growing by the information w zz' = beta^2 sigma'(beta theta'z) zz' of every label bought:
    k labels lower it by k w z'P^{-1}VP^{-1}z / (1 + k w z'P^{-1}z).
    """
    if validation.is_concrete(num_pairs):
        validation.count("num_pairs", validation.whole("num_pairs", float(num_pairs)))
    weights = _pair_weights(env)
    features, covered = env.reduced_features, coverage.target_covariance(env)
    total = jnp.asarray(num_pairs, weights.dtype)
    num_lots = jnp.minimum(total, float(MAX_LOTS))
    least = jnp.floor(total / num_lots)
    num_larger = (total - least * num_lots).astype(jnp.int32)

    def buy(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        precision, bought = state
        size = least + (step < num_larger).astype(total.dtype)
        reach, gain = _reach_and_gain(features, covered, precision)
        value = size * weights * gain / (1.0 + size * weights * reach)
        best = jnp.argmax(value)
        context, first, second = jnp.unravel_index(best, value.shape)
        difference = features[context, first] - features[context, second]
        outer = difference[:, None] * difference[None, :]
        return precision + size * weights[context, first, second] * outer, bought.at[context, first, second].add(size)

    return jax.lax.fori_loop(0, num_lots.astype(jnp.int32), buy, (information, jnp.zeros_like(weights)))[1]


@door
def lower_bound(env: Environment, information: Information, pairs: Wins) -> tuple[Array, Array]:
    """What no choice of as many labels can bring the predicted KL below, and what `pairs` (S, A, A) bring it to.

    tr(V P^{-1}) is convex in P: with P that of `pairs`, any other n labels have at least
    tr(V P^{-1}) + tr(P^{-1}VP^{-1} (P - I)) - n max_z w z'P^{-1}VP^{-1}z. The first is 0 where P is singular.
    """
    weights, covered = _pair_weights(env), coverage.target_covariance(env)
    total = jnp.sum(pairs)
    if validation.is_concrete(total) and not jnp.isfinite(total):
        raise ValueError("pairs must have a finite sum; got an overflow")
    added = total * theory.fisher_information(env, pairs / total)
    reached = theory.predicted_kl_pooled(env, information + added)
    _, gain = _reach_and_gain(env.reduced_features, covered, information + added)
    own = jnp.sum(pairs * weights * gain)
    bound = reached - 0.5 * (total * jnp.max(weights * gain) - own)
    return jnp.where(jnp.isfinite(reached), jnp.maximum(bound, 0.0), 0.0), reached


@door
def apportion(law: np.ndarray, num_pairs: int) -> np.ndarray:
    """A pair law (S, A, A) as whole labels per unordered pair, above the diagonal, that sum to `num_pairs`.

    ValueError for what is no law over pairs, or none of two different actions.

    Pukelsheim and Rieder's efficient rounding: with at least as many labels as pairs in the support, each has one.
    """
    num_pairs = int(validation.count("num_pairs", validation.whole("num_pairs", num_pairs)))
    law = validation.array("law", law, ("num_contexts", "num_actions", "num_actions"))
    law_checks.partial_law("law", law)
    pairs = np.triu(law + law.swapaxes(1, 2), 1)
    if not pairs.any():
        raise ValueError("law must show a pair of two different actions; got self-pairs alone")
    shares = pairs / pairs.sum()
    support = int((shares > 0).sum())
    counts = np.maximum(np.ceil((num_pairs - 0.5 * support) * shares), 0.0)
    safe = np.where(shares > 0, shares, 1.0)
    while (surplus := int(counts.sum()) - num_pairs) != 0:
        if surplus > 0:
            key = np.where(counts > 0, (counts - 1) / safe, -np.inf)
            counts.flat[int(key.argmax())] -= 1
        else:
            key = np.where(shares > 0, counts / safe, np.inf)
            # Of several without a label, the one with the largest share.
            key = np.where(key == key.min(), -shares, np.inf)
            counts.flat[int(key.argmin())] += 1
    return counts.astype(np.int64)


def _pair_weights(env: Environment) -> Array:
    """(S, A, A) beta^2 sigma'(beta theta'z) of the pairs i < j that can be bought, zero elsewhere."""
    allowed = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    above = jnp.triu(jnp.ones((env.num_actions, env.num_actions), bool), 1)
    buyable = allowed[:, :, None] & allowed[:, None, :] & above[None]
    gaps = preferences.reward_gaps(env)
    return jnp.where(buyable, env.beta**2 * jax.nn.sigmoid(gaps) * jax.nn.sigmoid(-gaps), 0.0)


def _reach_and_gain(features: Array, covered: Array, precision: Array) -> tuple[Array, Array]:
    """(S, A, A) z'P^{-1}z and z'P^{-1}VP^{-1}z of all pairs, from the Gram tables of whitened features."""
    rows, _ = linalg.inverse_root(precision)
    whitened = jnp.einsum("sr,xar->xas", rows, features - features[:, :1])
    image = jnp.einsum("xas,st->xat", whitened, rows @ covered @ rows.T)
    return jnp.maximum(gram_table(whitened, whitened), 0.0), jnp.maximum(gram_table(whitened, image), 0.0)
