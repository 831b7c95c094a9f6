"""Pessimistic maximum likelihood: the policy that is best for the worst rewards in a confidence ellipsoid.

After Zhu, Jordan, Jiao (arXiv 2301.11270). With G = ridge Id + sum over labels of zz' and the ellipsoid
Theta = {theta : ||theta - theta_hat||_G <= width} around the maximum-likelihood estimate (theirs over a norm ball),
rewards are measured relative to a comparison policy nu, whose mean feature is v(x) = E_{y ~ nu} phi(x,y):
only differences of rewards can be learned from comparisons, so a lower bound needs a zero.

This project's reading, where the paper leaves a choice:
- *Greedy.* One action per context, the maximiser of the lower confidence bound

      min_{theta in Theta} beta theta'(phi(x,y) - v(x))  =  beta [theta_hat'(phi - v) - width ||phi - v||_{G^{-1}}].

  The minimum is taken per context (with one context this is the paper's minimum over Theta of the mean reward).
- *Regularised.* The maximiser of min_{theta in Theta} E_x[E_pi r_theta - E_nu r_theta] - beta E_x KL(pi||pi_ref), with
  r_theta = beta log pi_theta/pi_ref. Minimum and maximum commute (linear in theta, concave in pi, both sets convex and
  compact), and for each theta the best policy is pi_theta: the answer is pi_theta at

      theta_pess = argmin_{theta in Theta} A(theta) - theta' E_x v(x),   A(theta) = E_x log sum_y pi_ref e^{theta'phi},

  with the base measure b in place of pi_ref for a free softmax. It is an estimate of theta*, and for nu = pi_ref it
  moves from theta_hat towards the reference (theta = 0) until it gets there or to the edge of Theta.
- width is a number here; the paper's contains unspecified constants.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import policies, validation
from banditlab.door import Information, LogPolicy, NonNegative, Params, Table, Wins, door
from banditlab.environment import Environment
from banditlab.estimators import newton
from banditlab.numerics import linalg, tolerances
from banditlab.numerics.compilation import LOOPS, inner
from banditlab.theory import prices

MAX_STEPS = 60

# The last step may change no difference of log-policies by more than this; Newton's error is of its square.
_TOLERANCE = 1e-6


class Pessimist(NamedTuple):
    """The regularised pessimistic estimate.

    Attributes:
        params: (d,) theta_pess.
        distance: () ||theta_pess - theta_hat||_G, at most the width.
        num_steps: () int32.
        converged: () bool; else `params` is the last iterate.
    """

    params: Array
    distance: Array
    num_steps: Array
    converged: Array


@door
def gram(env: Environment, wins: Wins, ridge: float | Array = 1.0) -> Array:
    """G = ridge Id + sum over labels of zz', (rank, rank) in coordinates of `env.difference_basis`.

    Args:
        wins: (S, A, A) win matrix.
        ridge: positive; without it a direction that was never compared would have no bound.
    """
    validation.shape("wins", wins, (env.num_contexts, env.num_actions, env.num_actions))
    if validation.is_concrete(ridge):
        validation.positive("ridge", ridge)
    total = prices.moment(env, jnp.asarray(wins, env.features.dtype))
    return total + ridge * jnp.eye(env.rank, dtype=total.dtype)


@door
def lower_bound(
    env: Environment, params: Params, gram: Information, width: float | Array, log_comparison: LogPolicy | None = None
) -> Array:
    """(S, A) min over Theta of beta theta'(phi(x,y) - v(x)), see the module.

    Args:
        params: (d,) theta_hat.
        gram: (rank, rank) from `gram`.
        width: non-negative; 0 gives the estimated rewards themselves.
        log_comparison: (S, A) log nu, pi_ref by default.
    """
    _check(env, params, gram, width, log_comparison)
    offset = env.reduced_features - _comparison_mean(env, log_comparison)[:, None, :]
    rows, _ = linalg.inverse_root(gram)
    uncertainty = jnp.linalg.norm(jnp.einsum("rs,xas->xar", rows, offset), axis=-1)
    return env.beta * (jnp.einsum("xar,r->xa", offset, _reduced(env, params)) - width * uncertainty)


@door
def greedy(env: Environment, values: Table, tolerance: NonNegative = 1e-9) -> Array:
    """(S, A) log-policy uniform on the actions of the class whose value (S, A) is within `tolerance` of the best.

    The others have -inf. With `values` the estimated rewards it is the greedy maximum-likelihood policy.
    """
    validation.shape("values", values, (env.num_contexts, env.num_actions))
    allowed = jnp.where(jnp.isfinite(env.log_base), values, -jnp.inf)
    best = allowed >= jnp.max(allowed, axis=1, keepdims=True) - tolerance
    return jax.nn.log_softmax(jnp.where(best, 0.0, -jnp.inf), axis=1)


@door
def pessimist(
    env: Environment, params: Params, gram: Information, width: float | Array, log_comparison: LogPolicy | None = None
) -> Pessimist:
    """theta_pess of the module, by Newton steps to the minimum of the quadratic model over the ellipsoid.

    A step that changes the log-policy by at most m between two actions is shortened to log(1 + m)/m of it: third
    derivatives of A are bounded by the range times the variance, so it descends from any start and stays in Theta.
    Arguments as in `lower_bound`, with a positive width. Components of theta that change no policy stay as they are.
    """
    _check(env, params, gram, width, log_comparison)
    if validation.is_concrete(width):
        validation.positive("width", width)
    if env.rank == 0:
        return Pessimist(params, jnp.zeros_like(env.beta), jnp.int32(0), jnp.ones((), bool))
    comparison = jnp.einsum("x,xr->r", env.context_probs, _comparison_mean(env, log_comparison))
    return _search(env, params, gram, jnp.asarray(width, env.features.dtype), comparison)


@inner(LOOPS)
def _search(env: Environment, params: Array, gram: Array, radius: Array, comparison: Array) -> Pessimist:
    rows, _ = linalg.inverse_root(gram)  # theta = theta_hat + rows'u has ||theta - theta_hat||_G = ||u||
    axes = jnp.einsum("dr,sr->sd", env.difference_basis, rows)
    allowed = jnp.isfinite(env.log_base) & (env.context_probs[:, None] > 0)
    tolerance = tolerances.at_least(_TOLERANCE, radius.dtype)

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        _, change, num_steps = state
        return (change > tolerance) & (num_steps < MAX_STEPS)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        point, _, num_steps = state
        log_policy = env.log_policy(params + point @ axes)
        mean = jnp.einsum("x,xr->r", env.context_probs, policies.mean_features(env, log_policy))
        curvature = rows @ policies.feature_covariance(env, log_policy) @ rows.T
        move = newton.step_in_ball(curvature, rows @ (mean - comparison), point, radius)
        logits = jnp.einsum("xad,d->xa", env.features, move @ axes)
        spread = jnp.max(jnp.where(allowed, logits, -jnp.inf), 1) - jnp.min(jnp.where(allowed, logits, jnp.inf), 1)
        change = jnp.max(jnp.where(env.context_probs > 0, spread, 0.0))
        length = jnp.where(change > 0, jnp.log1p(change) / jnp.where(change > 0, change, 1.0), 1.0)
        return point + length * move, change, num_steps + 1

    start = jnp.zeros_like(rows[0]), jnp.full_like(radius, jnp.inf), jnp.zeros((), jnp.int32)
    point, change, num_steps = jax.lax.while_loop(unfinished, step, start)
    return Pessimist(params + point @ axes, jnp.linalg.norm(point), num_steps, change <= tolerance)


def _comparison_mean(env: Environment, log_comparison: Array | None) -> Array:
    """(S, rank) v(x), the mean feature of the comparison policy."""
    return policies.mean_features(env, env.log_reference if log_comparison is None else log_comparison)


def _reduced(env: Environment, params: Array) -> Array:
    return jnp.einsum("dr,d->r", env.difference_basis, params)


def _check(env: Environment, params, gram, width, log_comparison) -> None:
    validation.shape("params", params, (env.num_features,))
    validation.shape("gram", gram, (env.rank, env.rank))
    if log_comparison is not None:
        validation.shape("log_comparison", log_comparison, (env.num_contexts, env.num_actions))
    if validation.is_concrete(width):
        validation.positive("width", width, zero=True)
