"""The Bradley-Terry reward fit over a bounded class, {phi w : |phi(x,y)'w| <= bound}, by a logarithmic barrier.

With L the sum of logistic losses of the reward differences, s_k the m distances to the bounds and mu > 0,

    F_mu(w) = L(w) - mu sum_k log s_k

has a minimiser w(mu) with L(w(mu)) - min L <= mu m. Along a Newton direction that changes the largest margin by u
and the largest share of a distance by q, F_mu'' grows by at most (1 - t c)^{-2} within t steps, c = max(u/2, q):
logistic curvature grows by e^{tu} at most, a barrier's by (1 - t q)^{-2}. So t = 1/(1 + c) minimises an upper bound of
F_mu: it descends from any start and stays inside. mu falls whenever c is small.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import losses, validation
from banditlab.door import Wins, door
from banditlab.environment import Environment
from banditlab.estimators import Fit, Status
from banditlab.estimators import fit as fit_unbounded
from banditlab.estimators.existence import Existence, certify
from banditlab.estimators.objective import build
from banditlab.estimators.regression import least_squares
from banditlab.numerics import linalg
from banditlab.numerics.compilation import LOOPS, inner

MAX_STEPS = 200

# The sum of losses ends within this share of itself above its minimum: far below any statistical error, and far
# enough above rounding for directions in which the barrier alone has curvature.
_SUBOPTIMALITY = 1e-9
# Newton is in its quadratic phase below the first; below the second the error left is of its square.
_NEAR, _TOLERANCE = 0.5, 1e-4
_REDUCTION = 0.1


class RewardFit(NamedTuple):
    """A fitted reward; every field an array, so that fits batch under `vmap`.

    Attributes:
        params: (d,) w.
        reward: (S, A) phi w.
        status: () int8 `Status`.
        existence: () int8 `Existence` of the optimum without the bound, as certified at `params`.
        excess: () bound on the sum of losses above its minimum over the class; 0 without a bound.
        num_steps: () int32.
    """

    params: Array
    reward: Array
    status: Array
    existence: Array
    excess: Array
    num_steps: Array


@door
def fit_bounded(env: Environment, wins: Wins, bound: float | Array) -> Array:
    """(S, A) the reward table of `fit`."""
    return fit(env, wins, bound).reward


@door
def fit(env: Environment, wins: Wins, bound: float | Array) -> RewardFit:
    """argmin_w sum W[x,i,j] (-log sigma(r_ij)), r = phi w, over |r(x,y)| <= bound where rho(x) > 0 and the class plays.

    The rewards are in the units of the labels, whatever beta, and the base measure of the class has no part in them.
    What the labels leave free is chosen thus: with a bound it sits at the analytic centre of what is left of the
    box, so the reward of an action that was never compared is 0 in the tabular class, and the rewards of the others
    are shifted to lie about it; without one, w is the solution of least norm, so the rewards of the compared
    actions of a tabular context have mean 0 in each connected component.

    Args:
        wins: (S, A, A) win matrix; the diagonal is ignored, and with a bound every context with rho(x) = 0.
        bound: positive. A concrete inf is the plain maximum-likelihood estimate, `banditlab.estimators.fit`.

    Raises:
        ValueError: for a bound <= 0, or wins of another shape or sign.
    """
    validation.shape("wins", wins, (env.num_contexts, env.num_actions, env.num_actions))
    if validation.is_concrete(wins) and (np.asarray(wins) < 0).any():
        raise ValueError(f"wins must be non-negative; got {np.asarray(wins).min()}")
    if validation.is_concrete(bound):
        validation.positive("bound", bound, infinite=True)
    rewards, wins = reward_class(env), jnp.asarray(wins, env.features.dtype)
    if validation.is_concrete(bound) and math.isinf(float(bound)):
        return _least_norm(rewards, wins, fit_unbounded(rewards, wins))
    return _search(rewards, wins, jnp.asarray(bound, env.features.dtype))


@door
def reward_class(env: Environment) -> Environment:
    """The linear reward class as an environment whose margins are reward differences w'z: no offset, beta 1."""
    flat = jnp.where(jnp.isfinite(env.log_base), 0.0, -jnp.inf)
    return dataclasses.replace(env.around(flat), beta=jnp.ones_like(env.beta))


def _least_norm(rewards: Environment, wins: Array, found: Fit) -> RewardFit:
    """The same fit with w the shortest that has these margins: Newton leaves it open where labels say nothing."""
    table = jnp.einsum("xad,d->xa", rewards.features, found.params)
    gaps = table[:, :, None] - table[:, None, :]
    params = least_squares(rewards, _comparable(rewards, wins), gaps, jnp.zeros_like(found.params)).params
    reward = jnp.einsum("xad,d->xa", rewards.features, params)
    zero = jnp.zeros_like(rewards.beta)
    return RewardFit(params, reward, found.status, found.existence, zero, found.num_steps)


@inner(LOOPS)
def _search(rewards: Environment, wins: Array, bound: Array) -> RewardFit:
    dtype, dimension = rewards.features.dtype, rewards.num_features
    inside = jnp.isfinite(rewards.log_base) & (rewards.context_probs[:, None] > 0)
    features = jnp.where(inside[:, :, None], rewards.features, 0.0)
    num_bounds = 2.0 * jnp.sum(inside, dtype=dtype)
    counted = jnp.where(inside[:, :, None] & inside[:, None, :], wins, 0.0)
    # Bounds are not blind to shifts: every direction of w counts, those that change no difference too.
    everything = dataclasses.replace(rewards, difference_basis=jnp.eye(dimension, dtype=dtype))
    objective = build(everything, counted, None)
    suboptimality = max(_SUBOPTIMALITY, 10 * float(jnp.finfo(dtype).eps))
    labelled = jnp.sum(counted) - jnp.einsum("xaa->", counted) > 0

    def target(loss: Array) -> Array:
        # Without labels every mu has the same minimiser, and the first is as good as any.
        return jnp.where(labelled, suboptimality * loss / num_bounds, 1.0)

    def unfinished(state: tuple[Array, Array, Array, Array, Array]) -> Array:
        _, weight, change, goal, num_steps = state
        going = (change > _TOLERANCE) | (weight > goal)
        return going & (num_steps < MAX_STEPS) & jnp.isfinite(change)

    def step(state: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        params, weight, change, goal, num_steps = state
        weight = jnp.where(change <= _NEAR, jnp.maximum(_REDUCTION * weight, jnp.minimum(weight, goal)), weight)
        table = jnp.einsum("xad,d->xa", features, params)
        above, below = 1.0 / (bound - table), 1.0 / (bound + table)
        slope, curvature = objective.derivatives(losses.dpo, objective.margins(params))
        slope = slope + weight * jnp.einsum("xa,xad->d", above - below, features)
        curvature = curvature + weight * jnp.einsum("xa,xad,xae->de", above**2 + below**2, features, features)
        direction = -linalg.solve_psd(curvature, slope)
        moved = jnp.einsum("xad,d->xa", features, direction)
        margin = jnp.max(jnp.where(objective.observed, jnp.abs(objective.change(direction)), 0.0), initial=0.0)
        share = jnp.max(jnp.maximum(moved * above, -moved * below))
        change = jnp.maximum(margin / 2, share)
        params = params + jnp.where(jnp.isfinite(change), direction / (1.0 + change), 0.0)
        goal = target(_sum_of_losses(features, counted, params))
        return params, weight, change, goal, num_steps + 1

    start = jnp.zeros(dimension, dtype)
    first = _sum_of_losses(features, counted, start)
    begin = (start, jnp.where(labelled, first / num_bounds, 1.0), jnp.ones_like(bound), target(first))
    params, weight, change, goal, num_steps = jax.lax.while_loop(unfinished, step, (*begin, jnp.int32(0)))
    done = jnp.where((change <= _TOLERANCE) & (weight <= goal), Status.converged, Status.max_steps)
    status = jnp.where(jnp.isfinite(change), done, Status.nonfinite).astype(jnp.int8)
    reward = jnp.einsum("xad,d->xa", rewards.features, params)
    excess = jnp.where(labelled, weight * num_bounds, 0.0)
    return RewardFit(params, reward, status, _existence(rewards, wins, params), excess, num_steps)


def _existence(rewards: Environment, wins: Array, params: Array) -> Array:
    if rewards.rank == 0:
        return jnp.int8(Existence.undetermined)
    objective = build(rewards, wins, None)
    coordinates = jnp.einsum("dr,d->r", rewards.difference_basis, params)
    gradient, hessian = objective.derivatives(losses.dpo, objective.margins(coordinates))
    return certify(objective, losses.dpo, coordinates, gradient, hessian)


def _sum_of_losses(features: Array, wins: Array, params: Array) -> Array:
    table = jnp.einsum("xad,d->xa", features, params)
    margins = table[:, :, None] - table[:, None, :]
    off_diagonal = ~jnp.eye(wins.shape[-1], dtype=bool)[None]
    return jnp.sum(jnp.where(off_diagonal, wins * losses.dpo(margins), 0.0))


def _comparable(rewards: Environment, wins: Array) -> Array:
    allowed = jnp.isfinite(rewards.log_base)
    return jnp.where(allowed[:, :, None] & allowed[:, None, :], wins, 0.0)
