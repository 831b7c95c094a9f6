"""chi-squared preference optimisation: the link z + log z in place of log, and its Lambert-W optimum.

After Huang, Zhan, Xie, Lee, Sun, Krishnamurthy, Foster (arXiv 2407.13399). With D(pi||pi_ref) = (1/2) E_{pi_ref}
(pi/pi_ref - 1)^2, the chi-squared divergence with that paper's factor 1/2,

    J_chi(pi) = E_x[ E_pi r - b KL(pi||pi_ref) - b D(pi||pi_ref) ]

is strictly concave, and stationary on the simplex where r(x,y) - b phi(pi/pi_ref) = lambda(x), phi(z) = z + log z.
Since phi inverts to z = W(e^u), W the Lambert function (W e^W = e^u),

    pi(y|x) = pi_ref(y|x) W(exp((r(x,y) - lambda(x))/b)),    lambda(x) such that pi(.|x) sums to one.

This project's reading: (i) Rewards come from a linear class. The chi-PO likelihood of the policies that these rewards
make has margins b [phi(pi/pi_ref)(winner) - phi(pi/pi_ref)(loser)] = r(winner) - r(loser): it is the logistic
likelihood of the rewards, and its maximum is the map above at the maximum-likelihood rewards, without a second
optimisation. (ii) The published loss clips margins at twice the largest reward; here a norm cap on the parameters
bounds them, and nothing is clipped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.door import LogPolicy, Margins, Positive, Table, Wins, door
from banditlab.environment import Environment
from banditlab.estimators import Fit
from banditlab.estimators import fit as fit_rewards
from banditlab.numerics.compilation import LOOPS, inner

# Newton's method on a convex function from above its root converges monotonically and, once near, quadratically;
# these many steps reach rounding from every start used here (tests go over 600 orders of magnitude).
_OMEGA_STEPS = 6
_NORMALISER_STEPS = 12


class ChiPO(NamedTuple):
    """A chi-PO fit: the likelihood fit of the rewards beta phi'theta, and the policy (S, A) they make.

    log_policy is -inf where pi_ref has no mass.
    """

    rewards: Fit
    log_policy: Array


@door
@inner(LOOPS)
def log_omega(exponent: Margins) -> Array:
    """log W(e^u), elementwise: the root t of e^t + t = u (the logarithm of Wright's omega function).

    Newton in t from t = u (u <= 1) or t = log u (u > 1), both above the root of a convex increasing function.
    """
    above = jnp.where(exponent > 1, jnp.log(jnp.maximum(exponent, 1.0)), exponent)

    def newton(_: int, t: Array) -> Array:
        power = jnp.exp(t)
        return t - (power + t - exponent) / (power + 1.0)

    return jax.lax.fori_loop(0, _OMEGA_STEPS, newton, above)


@door
def link(log_ratio: Margins) -> Array:
    """phi(z) = z + log z at z = e^log_ratio, elementwise; `log_omega` inverts it."""
    return jnp.exp(log_ratio) + log_ratio


@door
def policy(env: Environment, reward: Table, temperature: Positive) -> Array:
    """(S, A) log pi, pi = pi_ref W(e^{(r - lambda)/b}): the maximiser of `value` for a reward table (S, A).

    -inf where pi_ref has no mass. Raises ValueError for a reward of another shape or a temperature b <= 0.
    """
    _check(env, reward, temperature)
    scaled = _on_support(env, reward) / temperature
    return env.log_reference + log_omega(scaled - _normaliser(env, scaled)[:, None])


@door
def normaliser(env: Environment, reward: Table, temperature: Positive) -> Array:
    """lambda (S,): the value of r - b phi(pi/pi_ref) on the support, the same for every action of a context."""
    _check(env, reward, temperature)
    return temperature * _normaliser(env, _on_support(env, reward) / temperature)


@door
def implied_reward(env: Environment, log_policy: LogPolicy, temperature: Positive) -> Array:
    """(S, A) b phi(pi/pi_ref), the reward up to c(x) whose optimum log_policy (S, A) is; 0 where pi_ref has no mass.

    The margins of the chi-PO loss are its differences.
    """
    return temperature * link(_log_ratio(env, log_policy))


@door
def divergence(env: Environment, log_policy: LogPolicy) -> Array:
    """E_x (1/2) E_{pi_ref} (pi/pi_ref - 1)^2, () for log_policy (S, A) supported where pi_ref is."""
    reference = jnp.exp(env.log_reference)
    square = reference * jnp.expm1(_log_ratio(env, log_policy)) ** 2
    return 0.5 * jnp.einsum("x,xa->", env.context_probs, square)


@door
def value(env: Environment, reward: Table, log_policy: LogPolicy, temperature: Positive) -> Array:
    """J_chi (), see the module; for log_policy (S, A) supported where pi_ref is."""
    gain = jnp.exp(log_policy) * (reward - temperature * _log_ratio(env, log_policy))
    return jnp.einsum("x,xa->", env.context_probs, gain) - temperature * divergence(env, log_policy)


@door
def fit(
    env: Environment,
    wins: Wins,
    *,
    temperature: float | Array | None = None,
    ridge: float | Array = 0.0,
    max_norm: float | Array = math.inf,
) -> ChiPO:
    """The chi-PO policy of the rewards beta phi'theta_hat fitted to a win matrix (S, A, A).

    Args:
        temperature: b, positive; env.beta by default. The temperature of the policy alone: the rewards are in units
            of the labels whatever it is.
        ridge, max_norm: of the likelihood fit, as in `banditlab.estimators.fit`.

    Raises:
        ValueError: as `banditlab.estimators.fit`, and for a class whose base measure is not pi_ref.
    """
    bases = (env.log_base, env.log_reference)
    if validation.is_concrete(bases) and not np.array_equal(*bases):
        raise ValueError("env must have log_base = log_reference: beta phi'theta is then its reward; got another base")
    rewards = fit_rewards(env, wins, ridge=ridge, max_norm=max_norm)
    table = env.beta * jnp.einsum("xad,d->xa", env.features, rewards.params)
    return ChiPO(rewards, policy(env, table, env.beta if temperature is None else temperature))


@inner(LOOPS)
def _normaliser(env: Environment, scaled: Array) -> Array:
    """lambda/b (S,) for r/b (S, A): the root of sum_y pi_ref W(e^{r/b - lambda/b}) = 1.

    The sum is convex and decreasing in lambda. No ratio exceeds 1/pi_ref, and some ratio is at least one, so
    lambda/b >= r/b - phi(1/pi_ref) for every action: the largest of these starts Newton from the left, monotone.
    """
    supported = jnp.isfinite(env.log_reference)
    most = link(jnp.where(supported, -env.log_reference, 0.0))
    start = jnp.max(jnp.where(supported, scaled - most, -jnp.inf), axis=1)

    def newton(_: int, root: Array) -> Array:
        log_ratio = log_omega(scaled - root[:, None])
        terms = jnp.exp(env.log_reference + log_ratio)
        slope = jnp.sum(terms / (1.0 + jnp.exp(log_ratio)), axis=1)  # d/du W(e^u) = W/(1 + W)
        return root + (jnp.sum(terms, axis=1) - 1.0) / slope

    return jax.lax.fori_loop(0, _NORMALISER_STEPS, newton, start)


def _on_support(env: Environment, reward: Array) -> Array:
    """(S, A) the reward, zero where pi_ref has no mass: it is never played there, and must not overflow."""
    return jnp.where(jnp.isfinite(env.log_reference), reward, 0.0)


def _log_ratio(env: Environment, log_policy: Array) -> Array:
    """(S, A) log pi/pi_ref on the support of both, 0 elsewhere."""
    shared = jnp.isfinite(env.log_reference) & jnp.isfinite(log_policy)
    return jnp.where(shared, log_policy, 0.0) - jnp.where(shared, env.log_reference, 0.0)


def _check(env: Environment, reward: Array, temperature: float | Array) -> None:
    validation.shape("reward", reward, (env.num_contexts, env.num_actions))
    if validation.is_concrete(temperature):
        validation.positive("temperature", temperature)
        with np.errstate(over="ignore"):
            if validation.is_concrete(reward) and not np.isfinite(np.asarray(reward) / float(temperature)).all():
                raise ValueError("reward / temperature must be finite numbers; got some that overflow")
