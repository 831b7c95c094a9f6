"""Primal-dual interior point for design problems: one solver for every criterion and both constraint sets.

Minimise a convex `loss(w)` over weights `w >= 0` whose sums within each group are given. With q = -grad loss
(the leverages), the optimality conditions are

    prices[group(i)] - q_i(w) = slack_i >= 0,    w_i slack_i = 0,    sum of w over group g = mass_g,

and any w in the constraint set is certified by the duality gap sum_g mass_g max_{i in g} q_i / sum_i w_i q_i - 1.
Free prompts are one group of mass 1; prompts from rho are one group per context, of mass rho(x).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.numerics import factorise, tolerances

# Fraction of the way to the boundary of the positive orthant that one step may go.
_TO_BOUNDARY = 0.99
# A step is halved until the leverages agree with prices and slacks to within this multiple of the total product
# of weights and slacks (both in units of leverage), or agree better than before.
_RESIDUAL_FACTOR = 10.0
_MAX_HALVINGS = 30
# A start keeps its prices at least this fraction above the leverages, and its weights at least this fraction
# of their central values.
_SMALLEST_MARGIN = 1e-12
_LEAST_CENTRED = 0.1


class Constraint(NamedTuple):
    """`membership @ w = masses`: membership (G, n) zero-one, zero in the columns of masked atoms; masses (G,)."""

    membership: Array
    masses: Array


class Criterion(NamedTuple):
    """A loss through two functions of the weights (n,).

    `leverages(w)` is -grad loss (n,). `newton(w)` returns `factor(diagonal)`, which returns `solve(b)`:
    (Hessian(w) + diag(diagonal))^{-1} b for b (n,) or (n, k).
    """

    leverages: Callable[[Array], Array]
    newton: Callable[[Array], Callable[[Array], Callable[[Array], Array]]]


class Iterate(NamedTuple):
    """Feasible weights (n,), their leverages (n,), prices (G,) and slacks (n,).

    Masked atoms have weight 0 and slack 1.
    """

    weights: Array
    leverages: Array
    prices: Array
    slacks: Array


class Direction(NamedTuple):
    """Changes of the weights (n,), prices (G,) and slacks (n,)."""

    weights: Array
    prices: Array
    slacks: Array


def duality_gap(weights: Array, leverages: Array, constraint: Constraint) -> Array:
    """The gap () that certifies feasible `weights` (n,) against every other weighting of the same atoms."""
    return constraint.masses @ group_max(leverages, constraint) / (weights @ leverages) - 1


def group_max(values: Array, constraint: Constraint) -> Array:
    """(G,) largest of the non-negative values (n,) in each group; 0 for a group without atoms."""
    return jnp.max(constraint.membership * values[None, :], axis=1)


def normalise(weights: Array, constraint: Constraint) -> Array:
    """Weights (n,) rescaled within each group to its mass exactly."""
    totals = constraint.membership @ weights
    scale = constraint.masses / jnp.where(totals > 0, totals, 1.0)
    return weights * (scale @ constraint.membership)


class _Search(NamedTuple):
    """The iterate, its gap (nan after a breakdown), the steps so far, and the weights of the smallest gap so far."""

    iterate: Iterate
    gap: Array
    num_steps: Array
    best: Array
    best_gap: Array


def minimise(
    weights: Array, criterion: Criterion, constraint: Constraint, tolerance: Array, max_steps: Array
) -> tuple[Array, Array]:
    """Feasible weights (n,) whose gap over these atoms is at most `tolerance`, and the steps taken (<= max_steps).

    The start need not be positive, only give a regular moment matrix. What is returned is finite if the start is:
    a step that breaks down is not taken, and ends the iteration. Where rounding keeps the gap above the tolerance,
    the best weights on the way are returned, so that a smaller tolerance never has a larger gap.
    """

    def unfinished(carry: _Search) -> Array:
        return (carry.gap > tolerance) & (carry.num_steps < max_steps)

    def advance(carry: _Search) -> _Search:
        moved = _step(carry.iterate, criterion, constraint)
        gap = duality_gap(moved.weights, moved.leverages, constraint)
        sound = jnp.isfinite(gap) & jnp.all(jnp.isfinite(moved.slacks))
        iterate = jax.tree.map(lambda new, old: jnp.where(sound, new, old), moved, carry.iterate)
        better = sound & (gap < carry.best_gap)
        best = jnp.where(better, moved.weights, carry.best)
        # nan is not above the tolerance, so it ends the loop.
        gap, best_gap = jnp.where(sound, gap, jnp.nan), jnp.where(better, gap, carry.best_gap)
        return _Search(iterate, gap, carry.num_steps + 1, best, best_gap)

    infinite = jnp.full((), jnp.inf, weights.dtype)
    start = _start(weights, criterion, constraint)
    carry = _Search(start, infinite, jnp.zeros((), jnp.int32), start.weights, infinite)
    found = jax.lax.while_loop(unfinished, advance, carry)
    started = jnp.all(jnp.isfinite(found.best))
    return normalise(jnp.where(started, found.best, weights), constraint), found.num_steps


def _start(weights: Array, criterion: Criterion, constraint: Constraint) -> Iterate:
    """Prices above the leverages by the current gap, and weights raised towards the central path.

    On the path the products of weight and slack are in proportion to `_shares`.
    """
    active = _is_active(constraint)
    weights = normalise(weights, constraint)
    leverages = criterion.leverages(weights)
    margin = jnp.maximum(
        duality_gap(weights, leverages, constraint), tolerances.at_least(_SMALLEST_MARGIN, weights.dtype, 16)
    ) * (weights @ leverages)
    prices = group_max(leverages, constraint) + margin
    slacks = jnp.where(active, prices @ constraint.membership - leverages, 1.0)
    central = jnp.sum(jnp.where(active, weights * slacks, 0.0)) * _shares(constraint) / slacks
    weights = normalise(jnp.where(active, jnp.maximum(weights, _LEAST_CENTRED * central), 0.0), constraint)
    return Iterate(weights, criterion.leverages(weights), prices, slacks)


def _step(iterate: Iterate, criterion: Criterion, constraint: Constraint) -> Iterate:
    """One predictor-corrector step: the products w_i slack_i move towards smaller ones in proportion to `_shares`."""
    weights, slacks = iterate.weights, iterate.slacks
    member = constraint.membership
    active = _is_active(constraint)
    safe = jnp.where(active, weights, 1.0)
    solve = criterion.newton(weights)(slacks / safe)
    through = solve(member.T)
    # A group without atoms has price change zero.
    empty = jnp.where(jnp.sum(member, axis=1) > 0, 0.0, 1.0).astype(weights.dtype)
    schur = factorise.cholesky(member @ through + jnp.diag(empty))

    def direction(complementarity: Array) -> Direction:
        free = solve(jnp.where(active, complementarity / safe - residual, 0.0))
        prices = factorise.solve_factored(schur, member @ free)
        change = free - through @ prices
        return Direction(change, prices, jnp.where(active, (complementarity - slacks * change) / safe, 0.0))

    product = jnp.where(active, weights * slacks, 0.0)
    residual = _residual(iterate, constraint)
    predictor = direction(-product)
    reach = _step_length(iterate, predictor, 1.0)
    after = (weights + reach * predictor.weights) @ (slacks + reach * predictor.slacks)
    total = jnp.sum(product)
    centring = (after / total) ** 3 * total * _shares(constraint)
    corrector = direction(centring - product - predictor.weights * predictor.slacks)
    return _move(iterate, corrector, criterion, constraint)


def _move(iterate: Iterate, change: Direction, criterion: Criterion, constraint: Constraint) -> Iterate:
    """Go along a direction as far as the boundary and the curvature of the leverages allow.

    The leverages of a context that loses all its mass are far from linear in its weights, whose ratios decide
    where its centre is: without the test the product would fall and leave the residual behind.
    """
    active = _is_active(constraint)
    before = jnp.max(jnp.abs(_residual(iterate, constraint)))

    def too_far(carry: tuple[Iterate, Array, Array]) -> Array:
        trial, length, halvings = carry
        product = jnp.sum(jnp.where(active, trial.weights * trial.slacks, 0.0))
        allowed = jnp.maximum(_RESIDUAL_FACTOR * product, (1 - 0.1 * length) * before)
        after = jnp.max(jnp.abs(_residual(trial, constraint)))
        return (halvings < 0) | (~(after <= allowed) & (halvings < _MAX_HALVINGS))

    def shorten(carry: tuple[Iterate, Array, Array]) -> tuple[Iterate, Array, Array]:
        _, length, halvings = carry
        length = jnp.where(halvings < 0, length, 0.5 * length)
        weights = iterate.weights + length * change.weights
        trial = Iterate(
            weights,
            criterion.leverages(weights),
            iterate.prices + length * change.prices,
            iterate.slacks + length * change.slacks,
        )
        return trial, length, halvings + 1

    # The first pass, from -1 halvings to 0, tries the full length: the loop holds the only evaluation of a trial.
    begin = (iterate, _step_length(iterate, change, _TO_BOUNDARY), -jnp.ones((), jnp.int32))
    return jax.lax.while_loop(too_far, shorten, begin)[0]


def _residual(iterate: Iterate, constraint: Constraint) -> Array:
    """(n,) price - leverage - slack of the active atoms: zero at the optimum."""
    residual = iterate.prices @ constraint.membership - iterate.leverages - iterate.slacks
    return jnp.where(_is_active(constraint), residual, 0.0)


def _step_length(iterate: Iterate, change: Direction, fraction: float) -> Array:
    """The longest step <= 1 that keeps weights and slacks at least 1 - fraction of what they were."""
    positive = jnp.where(iterate.weights > 0, iterate.weights, 1.0)
    shrink = jnp.maximum(jnp.max(-change.weights / positive), jnp.max(-change.slacks / iterate.slacks))
    return fraction / jnp.maximum(shrink, fraction)


def _is_active(constraint: Constraint) -> Array:
    return jnp.sum(constraint.membership, axis=0) > 0


def _shares(constraint: Constraint) -> Array:
    """(n,) each group's mass, spread over its atoms: so a context that is hardly ever drawn is solved as well."""
    member, masses = constraint
    return (masses / jnp.maximum(jnp.sum(member, axis=1), 1.0)) @ member
