"""Offline estimators of theta, each on many draws of (theta*, data), and their error in Proposition 5's norm."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import coverage
from banditlab.estimators import chi_po
from banditlab.estimators import pessimism as pessimistic
from banditlab.exact import cosine_prior
from banditlab.store import failures
from experiments.coverage.offline_lower_bound import laws

if TYPE_CHECKING:
    from experiments.coverage.offline_lower_bound.experiment import Config

INSTANCES = {
    "staircase": partial(bl.instances.staircase, num_stairs=3, step=0.5, start=1.0),
    "chain": partial(bl.instances.chain, target=0.5, start=-1.0),
}
ESTIMATORS = ("mle", "ridge", "prior_ridge", "pessimistic", "chi_po")
# The margins that a chi-PO policy implies are those of its rewards up to rounding.
MARGIN_ROUNDING = 1e-9
# An ellipsoid that holds every parameter: pessimism is then moment matching.
_BOUNDLESS = 1e9


def bayes_risks(config: Config, env: bl.Environment) -> dict[str, np.ndarray]:
    """Estimator -> squared errors (labels, draws) under the prior; price, tr(V* H(theta*)^{-1}); counts (labels,).

    Every N has its own theta* and data, which all estimators share.
    """
    tuned = tuning(env, config.radius, config.ridge, config.width, config.temperature)
    rng = np.random.default_rng(config.seed)
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    collected = []
    for num_pairs in config.labels:
        blocks = []
        for number in range(config.num_blocks):
            keys = _keys(key, num_pairs, number, config.block)
            targets = jnp.asarray(laws.draw_prior(env, config.radius, config.block, rng))
            found, counts = estimates(env, draw(env, keys, targets, jnp.float64(num_pairs)), tuned)
            errors = {name: squared_error(env, params, targets) for name, params in found.items()}
            blocks.append(errors | {"price": laws.prices(env, targets)} | counts)
        joined = {name: [block[name] for block in blocks] for name in blocks[0]}
        collected.append({k: np.sum(v) if np.ndim(v) == 1 else np.concatenate(v) for k, v in joined.items()})
    return _with_failures({name: np.stack([found[name] for found in collected]) for name in collected[0]})


def large_risks(config: Config, env: bl.Environment, num_seeds: int) -> dict[str, np.ndarray]:
    """N ||theta_hat - theta*||^2 (seeds,) of mle and pessimistic at the centre, chi_po's without the N (it is biased),
    and prior: the likelihood's over tr(V* H(theta*)^{-1}) for theta* from the prior; counts ().
    """
    tuned = tuning(env, config.radius, config.ridge, config.width, config.temperature)
    rng = np.random.default_rng(config.seed + 1)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    centre = jnp.broadcast_to(jnp.asarray(env.target_params), (config.block, env.num_features))
    total = jnp.float64(config.large_pairs)
    out, counted = defaultdict(list), Counter()
    for number in range(num_seeds // config.block):
        names = ("mle", "pessimistic") + (("chi_po",) if number == 0 else ())
        found, counts = estimates(env, draw(env, _keys(key, 0, number, config.block), centre, total), tuned, names)
        for name, params in found.items():
            out[name].append(squared_error(env, params, centre) * (1.0 if name == "chi_po" else total))
        counted.update(counts)
        targets = jnp.asarray(laws.draw_prior(env, config.radius, config.block, rng))
        wins = draw(env, _keys(key, 1, number, config.block), targets, total)
        found, counts = estimates(env, wins, tuned, ("mle",))
        out["prior"].append(total * squared_error(env, found["mle"], targets) / laws.prices(env, targets))
        counted["unconverged_prior"] += counts["unconverged_mle"]
    arrays = {name: np.concatenate(blocks) for name, blocks in out.items()}
    return _with_failures(arrays | {name: np.asarray(count) for name, count in counted.items()})


def _with_failures(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, those of counts as the shard's failures too."""
    return arrays | failures({name: values for name, values in arrays.items() if values.dtype.kind == "i"})


def _keys(key: jax.Array, first: int, second: int, count: int) -> jax.Array:
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, first), second), count)


class Tuning(NamedTuple):
    """Numbers of the estimators, () each.

    Attributes:
        max_norm: of every likelihood fit.
        ridge, prior_ridge: on the sum of losses, centred at 0 and at the centre of the prior.
        width: of the ellipsoid, in the metric of the Gram matrix with ridge 1.
        temperature: of chi-PO.
    """

    max_norm: Array
    ridge: Array
    prior_ridge: Array
    width: Array
    temperature: Array


def tuning(env: bl.Environment, radius: float, ridge: float, width: float, temperature: float) -> Tuning:
    """The cap is the largest norm in the box, which a learner may know; prior_ridge the mean precision of the prior.

    Every coordinate of w has the prior's variance, so theta has precision V*/(that).
    """
    corners = np.array(np.meshgrid(*[[-radius, radius]] * env.num_features)).reshape(env.num_features, -1).T
    norms = np.linalg.norm(np.asarray(env.target_params) + corners @ laws.box_axes(env), axis=1)
    precision = np.trace(np.asarray(coverage.target_covariance(env))) / env.num_features
    numbers = (norms.max(), ridge, precision / cosine_prior.variance(radius), width, temperature)
    return Tuning(*(jnp.float64(number) for number in numbers))


@jax.jit
def draw(env: bl.Environment, keys: Array, targets: Array, num_pairs: Array) -> Array:
    """Win matrices (count, S, A, A) of num_pairs labels on pairs from pi_0 x pi_0, one theta* (count, d) each."""

    def one(key, target):
        return bl.preferences.draw_wins(
            key, env.replace(target_params=target), bl.samplers.initial(env, env.log_initial), num_pairs
        )

    return jax.vmap(one)(keys, targets)


@jax.jit
def likelihood(env: bl.Environment, wins: Array, ridge: Array, center: Array, max_norm: Array) -> tuple[Array, Array]:
    """Capped, penalised fits (count, d) of win matrices (count, S, A, A), and whether each converged (count,)."""
    fits = jax.vmap(lambda w: bl.estimators.fit(env, w, ridge=ridge, center=center, max_norm=max_norm))(wins)
    return fits.params, fits.status == bl.Status.converged


@jax.jit
def shrunk(env: bl.Environment, wins: Array, params: Array, width: Array, log_comparison: Array) -> tuple[Array, Array]:
    """theta_pess (count, d) relative to log_comparison (count, S, A), and whether each converged (count,)."""

    def one(wins, params, log_comparison):
        gram = pessimistic.gram(env, wins, 1.0)
        found = pessimistic.pessimist(env, params, gram, width, log_comparison)
        return found.params, found.converged

    return jax.vmap(one)(wins, params, log_comparison)


@jax.jit
def chi_policies(env: bl.Environment, params: Array, temperature: Array) -> tuple[Array, Array]:
    """chi-PO policies (count, S, A) of rewards beta phi'params (count, d), and how far their margins are off (count,).

    The margins of the chi-PO loss at its policy are the fitted reward differences: as an estimator of theta, by the
    reward it implies, chi-PO is the maximum-likelihood estimate.
    """
    rewards = env.beta * jnp.einsum("xad,nd->nxa", env.features, params)

    def one(reward):
        log_policy = chi_po.policy(env, reward, temperature)
        off = chi_po.implied_reward(env, log_policy, temperature) - reward
        return log_policy, jnp.max(jnp.abs(off - off[:, :1]))

    return jax.vmap(one)(rewards)


def estimates(
    env: bl.Environment, wins: Array, tuned: Tuning, names: tuple[str, ...] = ESTIMATORS
) -> tuple[dict[str, Array], dict[str, int]]:
    """Estimator -> theta_hat (count, d); unconverged_*, counts of fits that did not converge, and margins_off, of
    chi-PO policies that imply a reward other than the likelihood's.

    chi-PO returns a policy. Its implied reward gives the likelihood estimate again; the policy itself is read as the
    linear softmax nearest to it, argmin_theta E_x KL(pi_chi||pi_theta), the one with its mean features: pessimism
    without a bound on the ellipsoid, relative to pi_chi.
    """
    zero, count = jnp.zeros_like(env.start_params), len(wins)
    nothing = jnp.zeros_like(tuned.ridge)
    found: dict[str, Array] = {}
    counts = {}
    settings = {
        "mle": (nothing, zero),
        "ridge": (tuned.ridge, zero),
        "prior_ridge": (tuned.prior_ridge, jnp.asarray(env.target_params)),
    }
    for name, (ridge, center) in settings.items():
        if name in names:
            found[name], converged = likelihood(env, wins, ridge, center, tuned.max_norm)
            counts[f"unconverged_{name}"] = int((~converged).sum())
    reference = jnp.broadcast_to(env.log_reference, (count, *env.log_reference.shape))
    if "pessimistic" in names:
        found["pessimistic"], converged = shrunk(env, wins, found["mle"], tuned.width, reference)
        counts["unconverged_pessimistic"] = int((~converged).sum())
    if "chi_po" in names:
        policies, errors = chi_policies(env, found["mle"], tuned.temperature)
        found["chi_po"], converged = shrunk(env, wins, found["mle"], jnp.float64(_BOUNDLESS), policies)
        counts["unconverged_chi_po"] = int((~converged).sum())
        counts["margins_off"] = int((errors > MARGIN_ROUNDING).sum())
    return found, counts


@jax.jit
def squared_error(env: bl.Environment, params: Array, targets: Array) -> Array:
    """(count,) ||params - targets||^2 in the norm of V* at the centre env.target_params."""
    gap = params - targets
    return jnp.einsum("nd,de,ne->n", gap, coverage.target_covariance(env), gap)
