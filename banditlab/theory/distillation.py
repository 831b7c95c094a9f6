"""Predictions for reward distillation (docs/theory.md, section 6). They read the environment's arrays and nothing else.

A teacher's error is b = teacher - r*, Delta b = b(x, y) - b(x, y') its error on a pair.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import coverage, metrics, policies, validation
from banditlab.door import LogPolicy, NonNegative, PairLaw, Positive, Table, Wins, door
from banditlab.environment import Environment
from banditlab.theory import prices
from banditlab.theory.realizability import Misspecified, needed

__all__ = [
    "bias_bound",
    "damped_share",
    "noise_floor",
    "noise_price",
    "on_policy_floor",
    "population_bias",
    "population_recursion",
    "population_solution",
    "predicted_kl",
    "weighted_error",
]


@door
def noise_floor(env: Environment, counts: Wins, noise: NonNegative, *, misspecified: Misspecified = "raise") -> Array:
    """E ||theta_hat - theta*||^2_{V*} given the pairs, exactly: (tau^2 / beta^2) tr(V* (sum_i z_i z_i')^{-1}), ().

    counts (S, A, A): how often every pair was shown; noise: tau. +inf where the differences shown do not span.
    Needs a realizable environment, as in `banditlab.theory`, unless `misspecified` is "allow".
    """
    needed(env, misspecified)
    price = coverage.over(coverage.target(env), prices.moment(env, counts))
    return jnp.where(jnp.isfinite(price), (noise / env.beta) ** 2 * price, jnp.inf)


@door
def noise_price(
    env: Environment, pair_law: PairLaw, noise: NonNegative, *, misspecified: Misspecified = "raise"
) -> Array:
    """(tau^2 / beta^2) tr(V* M(mu)^{-1}), (): the large-n form of n times the `noise_floor`.

    The counterpart of the label price: C_F(mu) is at least this price at tau = 2, for every pair law.
    """
    return noise_floor(env, pair_law, noise, misspecified=misspecified)


@door
def predicted_kl(
    env: Environment,
    pair_law: PairLaw,
    num_pairs: Positive,
    noise: NonNegative,
    *,
    misspecified: Misspecified = "raise",
) -> Array:
    """E_x KL(pi* || pi_hat) ≈ noise_price / (2 n), () for n pairs from mu (S, A, A): no free constant.

    tau^2 C_tr(pi) / (4 beta^2 n) for pairs from pi x pi, so tau^2 d / (4 beta^2 n) on-policy once pi_k is near pi*.
    """
    return noise_price(env, pair_law, noise, misspecified=misspecified) / (2.0 * num_pairs)


@door
def on_policy_floor(env: Environment, noise: NonNegative | None, *, misspecified: Misspecified = "raise") -> Array:
    """Limit of n E_x KL(pi* || pi_k) in late on-policy rounds of n pairs each, (): those of pi* x pi*.

    tau^2 d / (4 beta^2) for reward differences with noise tau; C_F(pi*) / 2 for labels, with None.
    """
    law = policies.independent_pairs(env, env.log_target, env.log_target)
    if noise is None:
        return prices.predicted_kl(env, law, 1.0, misspecified=misspecified)
    return predicted_kl(env, law, 1.0, noise, misspecified=misspecified)


@door
def damped_share(damping: float, num_rounds: int) -> float:
    """What is left of the noise floor after damped rounds from theta*: eta^2 sum_{j < k} (1 - eta)^{2j}, summed.

    It tends to eta / (2 - eta): small steps average over the batches of the past. Beyond eta = 2 it grows with every
    round, and is inf once past the largest number.
    """
    eta = np.float64(validation.positive("damping", damping))
    num_rounds = validation.steps("num_rounds", num_rounds)
    if eta == 2.0:
        return 4.0 * num_rounds
    with np.errstate(over="ignore", divide="ignore"):
        log_kept = np.log1p(-eta if eta < 1.0 else eta - 2.0)  # of one round: log |1 - eta|
        return float(-eta * np.expm1(2.0 * num_rounds * log_kept) / (2.0 - eta))


@door
def weighted_error(env: Environment, teacher: Table, pair_law: PairLaw) -> Array:
    """E_mu (Delta b)^2 / beta^2, (): bounds ||theta_mu - theta*||^2_M for the population solution theta_mu."""
    error = _error(env, teacher)
    return jnp.sum(pair_law * (error[:, :, None] - error[:, None, :]) ** 2) / env.beta**2


@door
def bias_bound(env: Environment, teacher: Table, log_policy: LogPolicy) -> Array:
    """Coverage times weighted teacher error, C_op(pi) E_x Var_pi(b) / beta^2, () for log_policy (S, A).

    It bounds ||theta_mu - theta*||^2_{V*} for pairs from mu = pi x pi, whose M is 2 V(pi) and whose
    E_mu (Delta b)^2 is 2 E_x Var_pi(b).
    """
    pairs = policies.independent_pairs(env, log_policy, log_policy)
    return coverage.operator(env, log_policy) * weighted_error(env, teacher, pairs) / 2.0


@door
def population_solution(env: Environment, teacher: ArrayLike, pair_law: ArrayLike, start: ArrayLike) -> np.ndarray:
    """The minimiser of E_mu (margin - teacher's difference)^2 nearest to `start` (d,); (d,).

    theta* + M(mu)^{-1} E_mu[z Delta b] / beta where M is invertible. By orthogonal factorisation of the weighted
    differences: no normal equations, nothing shared with the estimator.
    """
    table = (env.num_contexts, env.num_actions)
    reward = validation.array("teacher", teacher, table)
    _error(env, reward)  # refused if out of range
    law = validation.array("pair_law", pair_law, (*table, env.num_actions))
    validation.non_negative("pair_law", law)
    beta, features = float(env.beta), np.asarray(env.features)
    comparable = np.isfinite(env.log_reference) & np.isfinite(env.log_base)
    offset = np.where(comparable, np.asarray(env.log_base), 0.0) - np.where(comparable, env.log_reference, 0.0)
    weights = np.sqrt(law * comparable[:, :, None] * comparable[:, None, :]).reshape(-1)
    wanted = (_gaps(reward) / beta - _gaps(offset)).reshape(-1)
    differences = _gaps(features).reshape(-1, env.num_features)
    start = validation.array("start", start, (env.num_features,))
    missing = weights * (wanted - differences @ start)
    rows = weights[:, None] * differences
    # Columns of one size, so that a feature on a small scale counts as much.
    sizes = np.linalg.norm(rows, axis=0)
    sizes = np.where(sizes > 0, sizes, 1.0)
    left, values, right = np.linalg.svd(rows / sizes, full_matrices=False)
    shown = values > 1e-12 * values.max(initial=0.0)
    moved = right[shown].T @ (left[:, shown].T @ missing / values[shown]) / sizes
    # Nearest in theta: what no pair shows, a null direction of the rows themselves, is not moved along.
    unseen = np.linalg.qr(right[~shown].T / sizes[:, None])[0]
    return start + moved - unseen @ (unseen.T @ moved)


@door
def population_recursion(
    env: Environment, teacher: ArrayLike, num_rounds: int, *, on_policy: bool = True, damping: float = 1.0
) -> np.ndarray:
    """theta_0 .. theta_K (num_rounds + 1, d) of infinitely many pairs a round, from pi_k x pi_k or pi_0 x pi_0."""
    if (damping := validation.positive("damping", damping)) > 1:
        raise ValueError(f"damping must be at most 1; got {damping}")
    _error(env, validation.array("teacher", teacher, (env.num_contexts, env.num_actions)))  # refused if out of range
    params = [np.asarray(env.start_params)]
    law = policies.independent_pairs(env, env.log_initial, env.log_initial)
    for _ in range(validation.steps("num_rounds", num_rounds)):
        solution = population_solution(env, teacher, np.asarray(law), params[-1])
        params.append(params[-1] + damping * (solution - params[-1]))
        if on_policy:
            following = env.log_policy(jnp.asarray(params[-1]))
            law = policies.independent_pairs(env, following, following)
    return np.stack(params)


@door
def population_bias(
    env: Environment, teacher: ArrayLike, num_rounds: int, *, on_policy: bool = True
) -> dict[str, np.ndarray]:
    """A teacher's error along `population_recursion`, (num_rounds,) each, for theta_1 .. theta_K.

    bias_kl is E_x KL(pi*||pi); coverage C_op and error E_x Var(b)/beta^2 are of the policies whose pairs led there;
    share is ||theta - theta*||^2_{V*} over their product, the `bias_bound`: at most 1, and 0 of a teacher without
    error. Coverage is inf where a policy has lost actions to rounding.
    """
    num_rounds = validation.steps("num_rounds", num_rounds)
    params = population_recursion(env, teacher, num_rounds, on_policy=on_policy)
    log_policies = [env.log_policy(jnp.asarray(theta)) for theta in params]
    sampling = log_policies[:-1] if on_policy else [env.log_initial] * num_rounds
    spread = np.asarray(coverage.target_covariance(env))
    shifts = (params[1:] - np.asarray(env.optimal_params)) @ np.asarray(env.difference_basis)
    taught = jnp.asarray(teacher, env.features.dtype)
    pairs = [policies.independent_pairs(env, each, each) for each in sampling]
    errors = np.asarray([float(weighted_error(env, taught, law)) / 2.0 for law in pairs])
    covered = np.asarray([float(coverage.operator(env, each)) for each in sampling])
    kl = np.asarray([float(metrics.kl_target(env, each)) for each in log_policies[1:]])
    lengths = np.asarray([shift @ spread @ shift for shift in shifts])
    bounds = np.where(errors > 0, covered, 1.0) * errors
    shares = np.divide(lengths, bounds, out=np.zeros_like(lengths), where=bounds > 0)
    return {"bias_kl": kl, "coverage": covered, "error": errors, "share": shares}


def _error(env: Environment, teacher: ArrayLike) -> Array:
    """(S, A) b = teacher - r*, of which squares are numbers."""
    error = jnp.asarray(teacher, env.features.dtype) - env.reward
    if validation.is_concrete(error) and not jnp.isfinite((error[:, :, None] - error[:, None, :]) ** 2).all():
        raise ValueError("teacher must differ from the reward by less than what float64 can square")
    return error


def _gaps(nodes: np.ndarray) -> np.ndarray:
    """(S, A, A, ...) differences within a context of nodes (S, A, ...)."""
    return nodes[:, :, None] - nodes[:, None, :]


def __dir__() -> list[str]:
    return __all__
