"""The pair design problem: its leverages over all pairs as tables, and its criterion on a short list of pairs.

The moment matrix is M(w) = sum_p w_p scale_p zz'; the loss is -log det M (D- and G-optimality) or a trace cost
tr(C M^{-1}) (L-optimality). Only per-context tables ever see all S A^2 / 2 pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from banditlab.designs import leverage
from banditlab.designs.interior_point import Constraint, Criterion
from banditlab.numerics import factorise


class Problem(NamedTuple):
    """What is designed.

    Attributes:
        features: (S, A, d), whitened.
        scale: (S, A, A) symmetric factor of each pair's zz', zero where the pair is not allowed.
        masses: (1,) = 1 for free prompts, (S,) = rho for prompts from rho.
        cost: (d, d) matrix C of the trace cost, None for log det.
    """

    features: Array
    scale: Array
    masses: Array
    cost: Array | None


def leverage_table(problem: Problem, moment: Array) -> Array:
    """Minus the loss's gradient, (S, A, A): scale z'M^{-1}z for log det, scale z'M^{-1}CM^{-1}z for the trace."""
    rows = leverage.in_metric(moment, problem.features)
    images = rows if problem.cost is None else rows @ _cost_in_metric(problem.cost, moment)
    return problem.scale * jnp.maximum(leverage.gram_table(rows, images), 0.0)


def group_of(problem: Problem, pairs: Array) -> Array:
    """(n,) index into `masses` of flat pair indices (x, i, j): the context, or 0 for free prompts."""
    return jnp.minimum(pairs // problem.features.shape[1] ** 2, problem.masses.shape[0] - 1)


def differences(problem: Problem, pairs: Array) -> Array:
    """(n, d) sqrt(scale) z of flat pair indices (n,)."""
    num_actions = problem.features.shape[1]
    context, first, second = pairs // num_actions**2, pairs // num_actions % num_actions, pairs % num_actions
    z = problem.features[context, first] - problem.features[context, second]
    return z * jnp.sqrt(problem.scale.reshape(-1)[pairs])[:, None]


def constraint(problem: Problem, pairs: Array, active: Array) -> Constraint:
    """The group masses as a constraint on the weights of the active pairs of a list."""
    groups = jnp.arange(problem.masses.shape[0], dtype=pairs.dtype)
    member = (group_of(problem, pairs)[None, :] == groups[:, None]) & active[None, :]
    return Constraint(jnp.where(member, 1.0, 0.0).astype(problem.masses.dtype), problem.masses)


def criterion(problem: Problem, z: Array) -> Criterion:
    """The loss on a list of scaled differences z (n, d): leverages, and Newton systems with its Hessian.

    With G = z M^{-1} z' and Q = z M^{-1} C M^{-1} z' the Hessians are G∘G for log det and 2 G∘Q for the trace.
    """

    def transformed(weights: Array) -> tuple[Array, Array]:
        moment = jnp.einsum("n,nd,ne->de", weights, z, z)
        rows = leverage.in_metric(moment, z)
        return rows, rows if problem.cost is None else rows @ _cost_in_metric(problem.cost, moment)

    def leverages(weights: Array) -> Array:
        rows, images = transformed(weights)
        return jnp.einsum("nd,nd->n", rows, images)

    def newton(weights: Array) -> Callable[[Array], Callable[[Array], Array]]:
        rows, images = transformed(weights)
        gram = rows @ rows.T
        hessian = gram * gram if problem.cost is None else 2 * gram * (rows @ images.T)

        def factor(diagonal: Array) -> Callable[[Array], Array]:
            lower = factorise.cholesky(hessian + jnp.diag(diagonal))
            return lambda right: factorise.solve_factored(lower, right)

        return factor

    return Criterion(leverages, newton)


def _cost_in_metric(cost: Array, moment: Array) -> Array:
    return leverage.in_metric(moment, leverage.in_metric(moment, cost).T)
