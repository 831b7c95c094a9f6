"""Designs over single actions, centred per context: V(w) = sum_x w_x Cov_{w(.|x)} phi, and the loss -log det V.

The interior point keeps every node, so each context holds positive weight, however small, and its weighted
mean is the centre that certifies it. The Hessian of the loss is

    G∘G + 2 [same context] G / w_x,    G = C V^{-1} C',  C the centred features.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.designs import interior_point, leverage
from banditlab.designs.interior_point import Constraint, Criterion
from banditlab.numerics import factorise, tolerances

# Up to this many nodes one factor of them all is as fast as the Woodbury form, and compiles in half the time.
_ALWAYS_DENSE = 96


def solve(features: Array, allowed: Array, masses: Array, gap: Array, max_steps: Array) -> tuple[Array, Array, Array]:
    """Optimal weights (S, A) over the allowed nodes (S, A), their duality gap () and the steps taken ().

    `features` (S, A, d) are whitened; `masses` is (1,) = 1 for free prompts and (S,) = rho for prompts from rho.
    """
    num_contexts, num_actions, _ = features.shape
    groups = jnp.minimum(jnp.arange(num_contexts), masses.shape[0] - 1)
    member = (groups[None, :, None] == jnp.arange(masses.shape[0])[:, None, None]) & allowed[None]
    constraint = Constraint(jnp.where(member, 1.0, 0.0).astype(features.dtype).reshape(masses.shape[0], -1), masses)
    loss = criterion(features, allowed)
    uniform = jnp.where(allowed, 1.0, 0.0).astype(features.dtype).reshape(-1)
    smallest = tolerances.smallest_gap(gap.dtype)  # below it rounding decides: neither sought nor certified
    target = jnp.maximum(gap, smallest)
    weights, count = interior_point.minimise(uniform, loss, constraint, target, max_steps)
    certified = interior_point.duality_gap(weights, loss.leverages(weights), constraint)
    certified = jnp.maximum(jnp.where(jnp.isfinite(certified), certified, jnp.inf), smallest)
    return weights.reshape(num_contexts, num_actions), certified, count


def criterion(features: Array, allowed: Array) -> Criterion:
    """-log det V on flat weights (S * A,): leverages ||phi - mean_x||^2 in V^{-1}, and Newton systems."""
    num_contexts, num_actions, size = features.shape

    def centred_rows(weights: Array) -> tuple[Array, Array]:
        table = weights.reshape(num_contexts, num_actions)
        totals = jnp.sum(table, axis=1)
        totals = jnp.where(totals > 0, totals, 1.0)
        means = jnp.einsum("xa,xad->xd", table / totals[:, None], features)
        centred = jnp.where(allowed[..., None], features - means[:, None, :], 0.0)
        return leverage.in_metric(jnp.einsum("xa,xad,xae->de", table, centred, centred), centred), totals

    def leverages(weights: Array) -> Array:
        rows, _ = centred_rows(weights)
        return jnp.einsum("xad,xad->xa", rows, rows).reshape(-1)

    def newton(weights: Array) -> Callable[[Array], Callable[[Array], Array]]:
        rows, totals = centred_rows(weights)
        within = 2 * jnp.einsum("xad,xbd->xab", rows, rows) / totals[:, None, None]
        few_nodes = num_contexts * num_actions <= max(size * (size + 1) // 2, _ALWAYS_DENSE)
        return (_dense if few_nodes else _low_rank)(rows, within)

    return Criterion(leverages, newton)


def _dense(rows: Array, within: Array) -> Callable[[Array], Callable[[Array], Array]]:
    """Newton systems by a Cholesky factor of all nodes, for fewer nodes than entries of V."""
    flat = rows.reshape(-1, rows.shape[-1])
    same = jnp.eye(rows.shape[0], dtype=rows.dtype)
    blocks = (same[:, None, :, None] * within[:, :, None, :]).reshape(flat.shape[0], flat.shape[0])
    hessian = (flat @ flat.T) ** 2 + blocks

    def factor(diagonal: Array) -> Callable[[Array], Array]:
        lower = factorise.cholesky(hessian + jnp.diag(diagonal))
        return lambda right: factorise.solve_factored(lower, right)

    return factor


def _low_rank(rows: Array, within: Array) -> Callable[[Array], Callable[[Array], Array]]:
    """Newton systems by Woodbury: G∘G = B B' with B the half-vectorised rr', the rest one block per context."""
    num_contexts, num_actions, size = rows.shape
    first, second = np.triu_indices(size)
    multiplicity = jnp.asarray(np.where(first == second, 1.0, np.sqrt(2.0)), rows.dtype)
    basis = rows[:, :, first] * rows[:, :, second] * multiplicity[None, None, :]

    def factor(diagonal: Array) -> Callable[[Array], Array]:
        blocks = within + jax.vmap(jnp.diag)(diagonal.reshape(num_contexts, num_actions))
        lower = jax.vmap(factorise.cholesky)(blocks)
        half = jax.vmap(factorise.solve_lower)(lower, basis)
        flat = half.reshape(-1, half.shape[-1])
        outer = factorise.cholesky(jnp.eye(flat.shape[1], dtype=rows.dtype) + flat.T @ flat)

        def solve(right: Array) -> Array:
            columns = right.reshape(num_contexts, num_actions, -1)
            scaled = jax.vmap(factorise.solve_lower)(lower, columns)
            inner = factorise.solve_factored(outer, flat.T @ scaled.reshape(flat.shape[0], -1))
            remainder = scaled - (flat @ inner).reshape(scaled.shape)
            return jax.vmap(factorise.solve_upper)(lower, remainder).reshape(right.shape)

        return solve

    return factor
