"""What a policy misses where the data are thin (docs/theory.md, section 7): eps, coverage constants, sqrt(C eps).

The bound J* - J(pi_hat) <= sqrt(C eps) holds for C >= pi*/mu and >= pi_hat/mu pointwise, mu the sampler of the pairs.
Missing mass is an explicit branch everywhere: J = -inf, a gap or constant of +inf, never an epsilon in a logarithm.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import coverage, policies, validation
from banditlab.door import AnyTable, LogPolicy, PerContext, door
from banditlab.environment import Environment

__all__ = [
    "average",
    "ball_constant",
    "ball_radius",
    "bounded_reward_limits",
    "gap_bound",
    "gaps",
    "implicit_reward",
    "least_constant",
    "objective",
    "squared_error",
    "squared_errors",
    "worst",
]


@door
def implicit_reward(env: Environment, log_policy: LogPolicy) -> Array:
    """r_hat = beta log pi/pi_ref, (S, A) for log_policy (S, A), beta that of J.

    +inf where pi has mass that pi_ref lacks, -inf where only pi_ref has it, 0 where neither has.
    """
    _check_table(env, "log_policy", log_policy)
    neither = jnp.isneginf(log_policy) & jnp.isneginf(env.log_reference)
    return env.beta * (jnp.where(neither, 0.0, log_policy) - jnp.where(neither, 0.0, env.log_reference))


@door
def objective(env: Environment, log_policy: LogPolicy) -> Array:
    """J(pi) = E_x [E_pi r* - beta KL(pi || pi_ref)], () for log_policy (S, A); -inf for mass that pi_ref lacks."""
    _check_table(env, "log_policy", log_policy)
    played = (env.context_probs[:, None] > 0) & jnp.isfinite(log_policy)
    outside = jnp.any(played & jnp.isneginf(env.log_reference))
    counted = played & jnp.isfinite(env.log_reference)
    cost = jnp.where(counted, log_policy, 0.0) - jnp.where(counted, env.log_reference, 0.0)
    terms = jnp.where(counted, jnp.exp(log_policy) * (env.reward - env.beta * cost), 0.0)
    return jnp.where(outside, -jnp.inf, jnp.einsum("x,xa->", env.context_probs, terms))


@door
def gaps(env: Environment, log_policy: LogPolicy) -> Array:
    """J_x(pi*) - J_x(pi) = beta KL(pi(.|x) || pi*(.|x)) in every context (I3), (S,) for log_policy (S, A).

    inf where pi has mass that pi_ref lacks.
    """
    _check_table(env, "log_policy", log_policy)

    def in_context(alone: Array) -> Array:
        return env.beta * policies.kl(env.replace(context_probs=alone), log_policy, env.log_target)

    return jax.vmap(in_context)(jnp.eye(env.num_contexts, dtype=env.beta.dtype))


@door
def squared_errors(env: Environment, log_sampler: LogPolicy, reward: AnyTable) -> Array:
    """E_{y,y' iid mu(.|x)} [(Delta r* - Delta r_hat)^2] = 2 Var_mu(r* - r_hat) in every context, (S,).

    Args:
        log_sampler: (S, A) log mu; actions without mass count for nothing, whatever their reward.
        reward: (S, A) r_hat; of a policy, its `implicit_reward`. +inf where r_hat is infinite on an action of mu.
    """
    _check_table(env, "log_sampler", log_sampler)
    _check_table(env, "reward", reward)
    seen = jnp.isfinite(log_sampler)
    mu = jnp.exp(log_sampler)
    infinite = jnp.any(seen & ~jnp.isfinite(reward), axis=1)
    error = jnp.where(seen & jnp.isfinite(reward), env.reward - reward, 0.0)
    # Around the mean: a shift of the rewards by c(x) costs no digits.
    centred = error - jnp.einsum("xa,xa->x", mu, error)[:, None]
    return jnp.where(infinite, jnp.inf, 2 * jnp.einsum("xa,xa,xa->x", mu, centred, centred))


@door
def squared_error(env: Environment, log_sampler: LogPolicy, reward: AnyTable) -> Array:
    """eps = E_x of `squared_errors`, (): what a regression on the pairs of mu can see; arguments as there.

    inf where one of them is, in a context of positive probability.
    """
    return average(env, squared_errors(env, log_sampler, reward))


@door
def average(env: Environment, values: PerContext) -> Array:
    """E_x of values (S,), (); infinite values count only in contexts of positive probability."""
    return jnp.sum(jnp.where(env.context_probs > 0, values * env.context_probs, 0.0))


@door
def worst(env: Environment, values: PerContext) -> Array:
    """The largest of values (S,) over the contexts of positive probability, (): what an average can hide."""
    return jnp.max(jnp.where(env.context_probs > 0, values, -jnp.inf))


@door
def least_constant(env: Environment, log_sampler: LogPolicy, log_policy: LogPolicy) -> Array:
    """The least C that the bound may use: max over (x, y), rho(x) > 0, of pi*/mu and pi/mu, ().

    Args:
        log_sampler: (S, A) log mu.
        log_policy: (S, A) log pi.

    Returns:
        +inf where pi* or pi has mass that mu lacks.
    """
    _check_table(env, "log_sampler", log_sampler)
    _check_table(env, "log_policy", log_policy)
    largest = jnp.maximum(env.log_target, log_policy)
    needed = (env.context_probs[:, None] > 0) & jnp.isfinite(largest)
    ratio = jnp.where(needed, largest, 0.0) - jnp.where(needed, log_sampler, 0.0)
    return jnp.exp(jnp.max(jnp.where(needed, ratio, -jnp.inf)))


@door
def ball_radius(env: Environment, log_policy: LogPolicy) -> Array:
    """The least e for which C_kl(e) serves the bound with mu = pi_ref: the larger E_x KL of pi and pi* to it, ().

    It is inf where one of them plays what pi_ref does not.
    """
    _check_table(env, "log_policy", log_policy)
    divergences = [policies.kl(env, log_p, env.log_reference) for log_p in (log_policy, env.log_target)]
    return jnp.maximum(*divergences)


@door
def ball_constant(env: Environment, log_policy: LogPolicy) -> Array:
    """C_kl(`ball_radius`), () for log_policy (S, A): the constant of a policy that stays near pi_ref."""
    return coverage.kl_ball(env, ball_radius(env, log_policy))


@door
def gap_bound(squared_error: Array | float, constant: Array | float) -> Array:
    """sqrt(C eps), elementwise: an upper bound on J(pi*) - J(pi_hat); C = +inf says nothing, even at eps = 0."""
    for name, values in (("squared_error", squared_error), ("constant", constant)):
        if validation.is_concrete(values) and not (np.asarray(values) >= 0).all():
            raise ValueError(f"{name} must be non-negative; got {np.asarray(values).min()}")
    vacuous = jnp.isinf(constant)
    return jnp.where(vacuous, jnp.inf, jnp.sqrt(jnp.where(vacuous, 0.0, constant) * squared_error))


@door
def bounded_reward_limits(span: Array | float, beta: Array | float) -> tuple[Array, Array]:
    """(s/beta, e^{s/beta}): limits of E_x KL(pi || pi_ref) and of pi/pi_ref for pi ∝ pi_ref e^{r_hat/beta}.

    Args:
        span: s, the largest max - min of r_hat within a context, finite and not negative.
        beta: temperature, positive. The second limit is inf once it overflows.

    Raises:
        ValueError: for a concrete argument out of range.
    """
    if validation.is_concrete((span, beta)) and jnp.ndim(span) == jnp.ndim(beta) == 0:
        validation.positive("span", span, zero=True)
        validation.positive("beta", beta)
    exponent = jnp.asarray(span, float) / jnp.asarray(beta, float)
    return exponent, jnp.exp(exponent)


def _check_table(env: Environment, name: str, value: Array) -> None:
    validation.shape(name, value, (env.num_contexts, env.num_actions))


def __dir__() -> list[str]:
    return __all__
