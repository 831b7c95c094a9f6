"""Plug-in label prices, predicted KL and labels needed, with delta-method standard errors of second order.

I is the information of the labels in hand, H that of one further label; both are taken at theta_hat, given the pairs.
A plug-in value f(theta_hat) varies by g'(theta_hat - theta) + (1/2) (theta_hat - theta)' F (theta_hat - theta), with g
and F its gradient and Hessian. Where theta_hat - theta is Gaussian with covariance C, the variance of the sum is
g'Cg + (1/2) tr(FCFC). The second term is of the next order in 1/n, and all there is where f is stationary: the price
of on-policy labels is, at 6 wins against 6.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import coverage, policies, theory, validation
from banditlab.door import Information, NonNegative, PairLaw, Shape, Squarable, door
from banditlab.environment import Environment
from banditlab.numerics import linalg

# A sampler that misses a direction is followed to this many times the information in hand: what is left of the
# directions it does show is then 1e-9 of what it was.
_FURTHEST = 1e9
_HALVINGS = 100

# tr(FCFC) is a sum over pairs of directions. Up to this many pairs (rank 7) all are taken; beyond it as many random
# ones. Their mean is right; its relative error is 0.26 where all eigenvalues of FC are alike and 0.5 where one leads,
# half of that in a standard error, and matters only where the first order vanishes.
_MOST_DIRECTION_PAIRS = 32

Labels = Annotated[Array, Shape(("K",), validation.non_negative)]
Laws = Annotated[Array, Shape(("m", "S", "A", "A"), validation.non_negative)]
Flags = Annotated[Array, Shape(("m",), validation.flags)]


class Assessment(NamedTuple):
    """Plug-in values at theta_hat and their standard errors (`_se`): (m,) for m samplers, () for the present fit.

    Attributes:
        price: C_F = tr(V H^{-1}); inf for a sampler that never shows some direction.
        labels_needed: further labels for KL <= the one asked for; inf where that is never reached.
        predicted_kl: tr(V I^{-1}) / 2 of the labels in hand.
    """

    price: Array | np.ndarray
    price_se: Array | np.ndarray
    labels_needed: Array | np.ndarray
    labels_needed_se: Array | np.ndarray
    predicted_kl: Array | np.ndarray
    predicted_kl_se: Array | np.ndarray


@door
def pooled_kl(env: Environment, information: Information, pair_law: PairLaw, num_labels: Labels) -> Array:
    """(1/2) tr(V (I + n H)^{-1}), (K,), after n = `num_labels` (K,) further labels from a pair law (S, A, A)."""
    moments = coverage.target(env), information, theory.fisher_information(env, pair_law)
    return jax.vmap(lambda labels: _pooled_kl(*moments, labels))(num_labels)


@door
def labels_needed(env: Environment, information: Information, pair_law: PairLaw, kl: Squarable) -> Array:
    """The n >= 0 at which (1/2) tr(V (I + n H)^{-1}) = kl by bisection, (); 0 if the labels in hand suffice.

    Args:
        env: with theta_hat as `target_params`.
        information: (rank, rank) I of the labels in hand.
        pair_law: (S, A, A) of the further labels; inf is returned if it leaves the KL above `kl` for ever.
        kl: positive.
    """
    moments = coverage.target(env), information, theory.fisher_information(env, pair_law)
    return _labels_needed(*moments, jnp.asarray(kl, information.dtype))


@door
def assess(
    env: Environment, num_labels: NonNegative, laws: Laws, kl: Squarable, ridge: NonNegative, on_policy: Flags
) -> Assessment:
    """Assess m pair laws (m, S, A, A), the first one that of the `num_labels` labels in hand.

    Args:
        env: with theta_hat as `target_params`.
        laws: (m, S, A, A).
        num_labels: 0, or 1 and more.
        on_policy: (m,) bool, which laws are pi_hat x pi_hat and so move with theta_hat.

    The covariance C of theta_hat is (I + ridge)^{-1} I (I + ridge)^{-1}; it leaves out the bias of a ridge. Of few
    labels even the second order says too little: at 6 wins against 6 it is 0.24 where the binomial law has 0.47.
    """
    if validation.is_concrete(num_labels) and 0 < num_labels < 1:
        raise ValueError(f"num_labels must be 0 or at least 1; got {num_labels}")

    def moments(params: Array) -> tuple[coverage.Target, Array, Array]:
        moved = env.replace(target_params=params)
        pairs = policies.independent_pairs(moved, moved.log_target, moved.log_target)
        followed = jnp.where(on_policy[:, None, None, None], pairs[None], laws)
        labels = jax.lax.map(lambda law: theory.fisher_information(moved, law), followed)
        return coverage.target(moved), num_labels * labels[0], labels

    kl, params = jnp.asarray(kl, laws.dtype), env.target_params
    assert params is not None
    covered, information, labels = moments(params)
    needed = jax.vmap(lambda label: _labels_needed(covered, information, label, kl))(labels)
    reached = jnp.where(jnp.isfinite(needed), needed, 0.0)

    def values(params: Array) -> tuple[Array, Array, Array]:
        covered, information, labels = moments(params)
        prices = jax.vmap(lambda label: coverage.over(covered, label))(labels)
        pooled = jax.vmap(lambda label, n: _pooled_kl(covered, information, label, n))(labels, reached)
        return prices, pooled, _pooled_kl(covered, information, labels[0], jnp.zeros_like(kl))

    def slope(params: Array, way: Array) -> tuple[Array, Array, Array]:
        return jax.jvp(values, (params,), (way,))[1]

    def bend(pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        return jax.jvp(lambda params: slope(params, pair[0]), (params,), (pair[1],))[1]

    # One direction at a time: the tangents of all tables at once would not fit large problems.
    root = env.difference_basis @ _covariance_root(information, ridge)
    price, _, present = values(params)
    slopes = jax.lax.map(lambda way: slope(params, way), root.T)
    first, second, weights = _direction_pairs(env.rank, information.dtype)
    bends = jax.lax.map(bend, (first @ root.T, second @ root.T))
    errors = [
        jnp.sqrt(jnp.sum(jnp.square(sloping), axis=0) + 0.5 * jnp.tensordot(weights, jnp.square(bending), 1))
        for sloping, bending in zip(slopes, bends, strict=True)
    ]

    # The n that solves KL(theta, n) = kl moves by -(dKL/dtheta) / (dKL/dn).
    def fall(label: Array, n: Array) -> Array:
        return -jax.jvp(lambda n: _pooled_kl(covered, information, label, n), (n,), (jnp.ones_like(n),))[1]

    falls = jax.vmap(fall)(labels, reached)
    moving = (needed > 0) & jnp.isfinite(needed)
    needed_se = jnp.where(moving, errors[1] / jnp.where(moving, falls, 1.0), jnp.where(needed > 0, jnp.inf, 0.0))
    return Assessment(
        price=price,
        price_se=jnp.where(jnp.isfinite(price), errors[0], jnp.inf),
        labels_needed=needed,
        labels_needed_se=needed_se,
        predicted_kl=present,
        predicted_kl_se=jnp.where(jnp.isfinite(present), errors[2], jnp.inf),
    )


def _covariance_root(information: Array, ridge: NonNegative) -> Array:
    """(rank, rank) B with BB' = (I + ridge)^{-1} I (I + ridge)^{-1}."""
    rows, _ = linalg.inverse_root(information + ridge * jnp.eye(len(information), dtype=information.dtype))
    squares, ways = jnp.linalg.eigh(rows @ information @ rows.T)  # the identity without a ridge
    return rows.T @ (ways * jnp.sqrt(jnp.maximum(squares, 0.0))[None, :])


def _direction_pairs(rank: int, dtype: jnp.dtype) -> tuple[Array, Array, Array]:
    """Directions u, v (K, rank) and weights (K,): sum w (u'Mv)^2 is tr(M^2) of a symmetric M, exactly or on average."""
    rows, columns = np.triu_indices(rank)
    if len(rows) <= _MOST_DIRECTION_PAIRS:
        first, second = np.eye(rank)[rows], np.eye(rank)[columns]
        weights = np.where(rows == columns, 1.0, 2.0)
    else:
        first, second = np.random.default_rng(0).standard_normal((2, _MOST_DIRECTION_PAIRS, rank))
        weights = np.full(_MOST_DIRECTION_PAIRS, 1 / _MOST_DIRECTION_PAIRS)
    return jnp.asarray(first, dtype), jnp.asarray(second, dtype), jnp.asarray(weights, dtype)


def _pooled_kl(covered: coverage.Target, information: Array, label: Array, num_labels: Array) -> Array:
    return 0.5 * coverage.over(covered, information + num_labels * label)


def _labels_needed(covered: coverage.Target, information: Array, label: Array, kl: Array) -> Array:
    price = coverage.over(covered, label)
    shown = jnp.trace(label) > 0
    furthest = _FURTHEST * jnp.trace(information) / jnp.where(shown, jnp.trace(label), 1.0)
    # The labels in hand can only help: without them C_F / (2 kl) suffice.
    start = jnp.where(jnp.isfinite(price), price / (2.0 * kl), jnp.where(shown, furthest, 0.0))
    reachable = jnp.isfinite(price) | (_pooled_kl(covered, information, label, start) <= kl)

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = 0.5 * (low + high)
        enough = _pooled_kl(covered, information, label, middle) <= kl
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    _, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.zeros_like(start), start))
    already = _pooled_kl(covered, information, label, jnp.zeros_like(start)) <= kl
    return jnp.where(already, 0.0, jnp.where(reachable, high, jnp.inf))
