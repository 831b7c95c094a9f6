"""Offline algorithms for comparison, refitted on all labels so far from the never-refreshed pi_0: IPO and chi-PO."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import estimators, losses, preferences, samplers, validation
from banditlab.algorithms import batches, fitted
from banditlab.algorithms.base import Algorithm, RoundInfo
from banditlab.algorithms.fitted import State
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import chi_po as chi_squared


class Options(NamedTuple):
    """Static choices: whether the norm is capped, how a batch is drawn."""

    capped: bool
    branch: batches.Branch


@door
def ipo(
    num_pairs: float,
    *,
    temperature: float | None = None,
    ridge: float = 0.0,
    max_norm: float = math.inf,
    sampler: samplers.Sampler | samplers.Prepared = samplers.initial,
    labeller: preferences.Labeller = preferences.bradley_terry,
    max_pairs: float | None = None,
    name: str = "ipo",
) -> Algorithm:
    """IPO: theta minimises the sum over labels of (h - beta/(2 tau))^2 + (ridge/2) ||theta - theta_ref||^2.

    h = beta [log(pi/pi_ref)(winner) - log(pi/pi_ref)(loser)]. The minimum exists on separable data too, at a finite
    margin; it is no Bradley-Terry likelihood, and more labels do not bring it to pi*. Where labels say nothing
    theta stays.

    Args:
        num_pairs: labels bought per round, a whole number >= 1; inf fits the outcome law itself.
        temperature: tau, positive; env.beta by default, which makes the target 1/2.
        ridge: non-negative weight against the sum of losses, centred at pi_ref (at pi_0 where the class lacks pi_ref).
        max_norm: cap on ||theta||_2; inf for none.
        sampler: (env, log_policy) -> pair law (S, A, A), for labels from elsewhere.
        labeller, max_pairs, name: as in `dpo`.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    validation.positive("ridge", ridge, zero=True)
    return _create(name, fitted.init, _ipo_step, num_pairs, temperature, ridge, max_norm, sampler, labeller, max_pairs)


@door
def chi_po(
    num_pairs: float,
    *,
    temperature: float | None = None,
    ridge: float = 0.0,
    max_norm: float = math.inf,
    sampler: samplers.Sampler | samplers.Prepared = samplers.initial,
    labeller: preferences.Labeller = preferences.bradley_terry,
    max_pairs: float | None = None,
    name: str = "chi_po",
) -> Algorithm:
    """chi-PO: the maximiser of E_pi r_hat - b KL(pi||pi_ref) - b D_chi2(pi||pi_ref), r_hat the fitted reward.

    r_hat = beta phi'theta is the Bradley-Terry fit (see `banditlab.estimators.chi_po`); the base measure of the class
    has no part in it. The policy is a table, outside the linear class: `state.params` are the reward's.

    Args:
        temperature: b, positive; env.beta by default.
        max_norm: cap on ||theta||_2, in place of the published clipping of the margins.
        num_pairs, ridge, sampler, labeller, max_pairs, name: as in `ipo`.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    validation.positive("ridge", ridge, zero=True)
    return _create(
        name, _chi_po_init, _chi_po_step, num_pairs, temperature, ridge, max_norm, sampler, labeller, max_pairs
    )


def _create(name, init, step, num_pairs, temperature, ridge, max_norm, sampler, labeller, max_pairs) -> Algorithm:
    pairs, branch = batches.size(num_pairs, max_pairs)
    validation.positive("max_norm", max_norm, infinite=True)
    return Algorithm.create(
        name,
        init=init,
        step=step,
        settings={
            "sampler": batches.as_sampler(sampler),
            "labeller": preferences.as_partial(labeller),
            "num_pairs": pairs,
            "temperature": None if temperature is None else validation.positive("temperature", temperature),
            "ridge": float(ridge),
            "max_norm": float(max_norm),
        },
        options=Options(math.isfinite(max_norm), branch),
    )


def _ipo_step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    wins = _buy(algorithm, key, state, env)
    settings = algorithm.settings
    target = 0.5 * env.beta / _temperature(algorithm, env)
    fit = estimators.fit(
        env,
        wins,
        loss=losses.ipo,
        target=jnp.broadcast_to(target, wins.shape),
        ridge=settings["ridge"],
        center=fitted.reference(env),
        max_norm=_cap(algorithm),
        warm_start=state.params,
    )
    info = RoundInfo(settings["num_pairs"], fit.status, fit.existence)
    return State(fit.params, env.log_policy(fit.params), wins, state.sampler), info


def _chi_po_init(algorithm: Algorithm, key: Array, env: Environment) -> State:
    """pi_0, and the reward 0: a reward is in the class wherever pi_ref is."""
    return fitted.started(algorithm, env, jnp.zeros_like(env.features[0, 0]))


def _chi_po_step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    wins = _buy(algorithm, key, state, env)
    settings = algorithm.settings
    # Rewards have no base measure: the class around pi_ref has the same features and no offset.
    inside = jnp.isfinite(env.log_base)
    reference = jax.nn.log_softmax(jnp.where(inside, env.log_reference, -jnp.inf), axis=1)
    temperature = _temperature(algorithm, env)
    found = chi_squared.fit(
        env.around(reference), wins, temperature=temperature, ridge=settings["ridge"], max_norm=_cap(algorithm)
    )
    info = RoundInfo(settings["num_pairs"], found.rewards.status, found.rewards.existence)
    return State(found.rewards.params, found.log_policy, wins, state.sampler), info


def _buy(algorithm: Algorithm, key: Array, state: State, env: Environment) -> Array:
    settings = algorithm.settings
    law = preferences.outcome_law(env, state.sampler(env, state.log_policy), settings["labeller"])
    return batches.draw(key, law, settings["num_pairs"], algorithm.options.branch) + state.wins


def _temperature(algorithm: Algorithm, env: Environment) -> Array:
    given = algorithm.settings["temperature"]
    return env.beta if given is None else given


def _cap(algorithm: Algorithm) -> float | Array:
    return algorithm.settings["max_norm"] if algorithm.options.capped else math.inf
