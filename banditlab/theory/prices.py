"""Predictions of docs/theory.md. They read the environment's arrays and nothing else: no import of algorithms.

Those around theta* (I6, Propositions 4 and 5) need a realizable environment: they raise a ValueError that names
`env.residual` where the class misses pi*, unless `misspecified="allow"` asks for the formula's value all the same.
Matrices are (rank, rank), in the coordinates of `env.difference_basis` (the feature coordinates when identified).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import coverage, policies, preferences, validation
from banditlab.door import Information, Number, PairLaw, Params, door
from banditlab.environment import Environment
from banditlab.numerics import factorise, graphs, linalg
from banditlab.numerics.compilation import LOOPS, inner
from banditlab.theory.realizability import Misspecified, needed


@door
def second_moment(env: Environment, pair_law: PairLaw) -> Array:
    """M(mu) = E_mu zz', (rank, rank), for a pair law (S, A, A)."""
    return moment(env, pair_law)


@door
def fisher_information(env: Environment, pair_law: PairLaw) -> Array:
    """H(mu) = beta^2 E_mu[sigma'(r*_i - r*_j) zz'], (rank, rank): information of one labelled pair (I4)."""
    return env.beta**2 * moment(env, pair_law * _label_variance(env))


@door
def leverage(env: Environment, pair_law: PairLaw) -> Array:
    """G(mu) = max_z z' M(mu)^{-1} z, () for a pair law (S, A, A); +inf where a difference is never sampled."""
    return coverage.leverage(env, second_moment(env, pair_law))


@door
def target_leverage(env: Environment) -> Array:
    """G* = max_z z' V*^{-1} z, ()."""
    return coverage.leverage(env, coverage.target_covariance(env))


@door
def label_price(env: Environment, pair_law: PairLaw, *, misspecified: Misspecified = "raise") -> Array:
    """C_F(mu) = tr(V* H(mu)^{-1}), (): labels times KL, up to the factor 2 (I6)."""
    needed(env, misspecified)
    return coverage.over(coverage.target(env), fisher_information(env, pair_law))


@door
def predicted_kl(
    env: Environment, pair_law: PairLaw, num_pairs: Array | float, *, misspecified: Misspecified = "raise"
) -> Array:
    """E_x KL(pi* || pi_hat) ≈ C_F(mu) / (2 n) for n labels from mu (I6): no free constant; inf where C_F is."""
    _check_labels(num_pairs)
    price = label_price(env, pair_law, misspecified=misspecified)
    return jnp.where(jnp.isfinite(price), 0.5 * price / num_pairs, jnp.inf)


@door
def predicted_kl_pooled(env: Environment, information: Information, *, misspecified: Misspecified = "raise") -> Array:
    """KL ≈ (1/2) tr(V* I^{-1}), () for pooled data of total information I = sum_j n_j H(mu_j), (rank, rank)."""
    needed(env, misspecified)
    return 0.5 * coverage.over(coverage.target(env), information)


@door
def predicted_kl_weighted(
    env: Environment, information: Information, score_covariance: Information, *, misspecified: Misspecified = "raise"
) -> Array:
    """KL ≈ (1/2) tr(V* A^{-1} B A^{-1}), () for labels of unequal weight: A = sum_j w_j n_j H(mu_j), B with w_j^2.

    A and B (rank, rank); +inf where A is singular. Equal weights give A = B, the pooled prediction; one batch gives I6.
    """
    needed(env, misspecified)
    rows, in_range = linalg.inverse_root(information)
    aim = coverage.target(env)
    spread, noise = rows @ aim.covariance @ rows.T, rows @ score_covariance @ rows.T
    return jnp.where(jnp.all(in_range) & aim.complete, 0.5 * jnp.sum(spread * noise), jnp.inf)


@door
def labels_needed(env: Environment, pair_law: PairLaw, kl: float, *, misspecified: Misspecified = "raise") -> Array:
    """Labels from mu for E_x KL(pi* || pi_hat) <= kl, to first order: C_F(mu) / (2 kl)."""
    return label_price(env, pair_law, misspecified=misspecified) / (2.0 * validation.positive("kl", kl))


@door
def oscillation(env: Environment, params: Params) -> Array:
    """osc = max_z (theta - theta*)'z, () for params (d,), theta* those of pi*. |log C_op| <= osc (Proposition 1)."""
    gap = jnp.einsum("xad,d->xa", env.features, params - env.optimal_params)
    allowed = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    high = jnp.max(jnp.where(allowed, gap, -jnp.inf), axis=1)
    low = jnp.min(jnp.where(allowed, gap, jnp.inf), axis=1)
    return jnp.max(jnp.where(env.context_probs > 0, high - low, 0.0))


@door
def kl_bounds(env: Environment, params: Params) -> tuple[Array, Array]:
    """Proposition 2: lower and upper bound on E_x KL(pi* || pi_theta) from osc and ||theta - theta*||_{V*}."""
    osc = oscillation(env, params)
    small = osc < 1e-4
    # In units of osc, whose square may overflow; e^osc does beyond the logarithm of the largest number.
    unit = jnp.where(small, 1.0, osc)
    shift = jnp.einsum("dr,d->r", env.difference_basis, params - env.optimal_params) / unit
    square = shift @ coverage.target_covariance(env) @ shift
    bounded = osc <= math.log(float(jnp.finfo(osc.dtype).max)) - 1.0
    safe = jnp.where(bounded, unit, 1.0)
    lower = jnp.where(small, 0.5 - osc / 6, jnp.where(bounded, jnp.expm1(-safe) + safe, osc - 1.0))
    upper = jnp.where(small, 0.5 + osc / 6, jnp.expm1(safe) - safe)
    # Where osc itself is beyond the largest number, zero is the bound that is sure.
    return jnp.where(jnp.isfinite(osc), lower * square, 0.0), jnp.where(bounded, upper * square, jnp.inf)


@door
def smallest_label_variance(env: Environment) -> Array:
    """kappa = min_z sigma'(r* gap), () over pairs of the class with rho(x) > 0."""
    allowed = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    pairs = allowed[:, :, None] & allowed[:, None, :]
    return jnp.min(jnp.where(pairs, _label_variance(env), 0.25))


@door
def statistical_radius(env: Environment) -> Array:
    """Gam = d / (2 beta^2 kappa), (): n ||theta_hat - theta*||^2_{V*} on-policy, up to logs (Proposition 4)."""
    if env.rank == 0:
        return jnp.zeros_like(env.beta)
    return env.rank / (2.0 * env.beta**2 * smallest_label_variance(env))


@door
def batch_threshold(env: Environment, start: Array | float = 2.0, *, misspecified: Misspecified = "raise") -> Array:
    """Labels per round above which Proposition 4's recursion converges from u_0 = start, ().

    G* Gam e^v / v^2 with v = max(start, 2); at start <= 2 it is n_c = (e^2 / 4) G* Gam. An upper bound of the
    recursion alone, loose by construction; for beta v > 1/2 the recursion itself needs more (see the proposition). It
    is inf where e^v is beyond the largest number.
    """
    needed(env, misspecified)
    _check_start(start)
    if env.rank == 0:
        return jnp.zeros_like(env.beta)
    v = jnp.maximum(jnp.asarray(start, env.beta.dtype), 2.0)
    needed_labels = target_leverage(env) * statistical_radius(env) * jnp.exp(v) / v**2
    return jnp.where(jnp.isinf(jnp.exp(v)), jnp.inf, needed_labels)


@door
def recursion(
    env: Environment,
    start: Array | float,
    num_pairs: Array | float,
    num_rounds: int,
    *,
    misspecified: Misspecified = "raise",
) -> Array:
    """u_1 .. u_K of Proposition 4, (num_rounds,): u_{k+1} = sqrt(G* Gam / n) e^{u_k / 2} from u_0 = start."""
    needed(env, misspecified)
    _check_start(start)
    _check_labels(num_pairs)
    num_rounds = validation.steps("num_rounds", num_rounds)
    for name, value in (("start", start), ("num_pairs", num_pairs)):
        validation.shape(name, value, ())
    rate = jnp.sqrt(target_leverage(env) * statistical_radius(env) / num_pairs)
    return _contracted(rate, jnp.asarray(start, env.beta.dtype), num_rounds=num_rounds)


@inner(LOOPS, static="num_rounds")
def _contracted(rate: Array, start: Array, *, num_rounds: int) -> Array:
    # Beyond, the bound is infinite for every purpose, and its square root still a number.
    infinite = 2.0 * (math.log(float(jnp.finfo(start.dtype).max)) - 9.0)

    def contract(u: Array, _: None) -> tuple[Array, Array]:
        following = jnp.where(rate > 0, rate * jnp.exp(0.5 * jnp.minimum(u, infinite)), 0.0)
        return following, following

    return jax.lax.scan(contract, start, None, length=num_rounds)[1]


@door
def offline_lower_bound(
    env: Environment, num_pairs: Number, radius: float, *, misspecified: Misspecified = "raise"
) -> Array:
    """Proposition 5: inf sup E ||theta_hat - theta*||^2_{V*} >= sum_i [N beta^2 / (2 c_i) + pi^2 / radius^2]^{-1}.

    N labels on pairs from pi_0 x pi_0; c_i the eigenvalues of V(pi_0)^{-1} V*, theta* the centre of a box of
    half-width `radius` in w = U'V*^{1/2}(theta - theta*), U the eigenvectors of V*^{-1/2} V(pi_0) V*^{-1/2}. A
    direction pi_0 never shows contributes radius^2 / pi^2.
    """
    needed(env, misspecified)
    radius = validation.positive("radius", radius)
    _check_labels(num_pairs)
    if env.rank == 0:
        return jnp.zeros_like(env.beta)
    # 1/c_i are the eigenvalues of V(pi_0) relative to V*, which exists even where V(pi_0) is singular.
    rows, in_range = linalg.inverse_root(coverage.target_covariance(env))
    initial = policies.feature_covariance(env, env.log_initial)
    relative = jnp.where(in_range[:, None] & in_range[None, :], rows @ initial @ rows.T, 0.0)
    # A null direction of V* adds nothing to the error that is bounded: as if it were known without labels.
    relative = relative + jnp.diag(jnp.where(in_range, 0.0, float(jnp.finfo(relative.dtype).max) ** 0.97))
    information = num_pairs * env.beta**2 * jnp.maximum(factorise.eigenvalues(relative), 0.0) / 2.0
    return jnp.sum(1.0 / (information + jnp.square(math.pi / radius)))


def moment(env: Environment, weights: Array) -> Array:
    """(rank, rank) sum of weights (S, A, A) times zz', as a graph Laplacian: phi' (diag(K 1) - K) phi, K = w + w'.

    The differences are never listed, and the weights need not be a law.
    """
    validation.shape("weights", weights, (env.num_contexts, env.num_actions, env.num_actions))
    loops = jnp.eye(env.num_actions, dtype=bool)[None]
    edges = jnp.where(loops, 0.0, weights + jnp.swapaxes(weights, 1, 2))
    degrees = jnp.sum(edges, axis=2)
    # Less the best-connected action of every component: the small entries of a graded moment stay accurate, and a
    # direction that no pair shows is zero.
    features = graphs.anchored(env.reduced_features, edges > 0, degrees)
    applied = degrees[..., None] * features - jnp.einsum("xij,xjr->xir", edges, features)
    moment = jnp.einsum("xar,xas->rs", features, applied)
    return 0.5 * (moment + moment.T)


def _label_variance(env: Environment) -> Array:
    """(S, A, A) sigma'(r*_i - r*_j), the variance of a Bradley-Terry label."""
    gaps = preferences.reward_gaps(env)
    return jax.nn.sigmoid(gaps) * jax.nn.sigmoid(-gaps)


def _check_labels(num_pairs: Array | float) -> None:
    if validation.is_concrete(num_pairs):
        for value in np.ravel(np.asarray(num_pairs)):
            validation.positive("num_pairs", value, infinite=True)


def _check_start(start: Array | float) -> None:
    if validation.is_concrete(start):
        validation.positive("start", start, zero=True, infinite=True)
