"""Connected components of the graphs of compared actions, one a context."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.numerics.compilation import LOOPS, inner


@inner(LOOPS)
def components(edges: Array) -> Array:
    """(S, A) int32, the least action that a path of edges (S, A, A) bool, in either direction, joins to each."""
    num_actions = edges.shape[-1]
    linked = edges | jnp.swapaxes(edges, -1, -2) | jnp.eye(num_actions, dtype=bool)[None]

    def lower(state: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = state
        least = jnp.min(jnp.where(linked, labels[..., None, :], num_actions), axis=-1)
        # What is joined to my label is joined to me: paths double with every pass.
        following = jnp.minimum(least, jnp.take_along_axis(least, least, axis=-1))
        return following, jnp.any(following < labels)

    first = jnp.broadcast_to(jnp.arange(num_actions, dtype=jnp.int32), edges.shape[:-1])
    return jax.lax.while_loop(lambda state: state[1], lower, (first, jnp.ones((), bool)))[0]


def anchored(features: Array, edges: Array, degrees: Array | None = None) -> Array:
    """features (S, A, r) less those of one action of every component of the graph of edges (S, A, A) bool.

    It is the action of the largest of `degrees` (S, A), or the first one. No difference along an edge changes. A
    feature that is constant on a component becomes zero there, exactly: sums over nodes would cancel to rounding,
    which a factorisation scaled to unit diagonal takes for a direction.
    """
    found = components(edges)
    if degrees is not None:
        inside = found[..., :, None] == found[..., None, :]
        found = jnp.argmax(jnp.where(inside, degrees[..., None, :], -1.0), axis=-1)
    return features - jnp.take_along_axis(features, found[..., None], axis=-2)
