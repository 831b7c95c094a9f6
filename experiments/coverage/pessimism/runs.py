"""The runs behind the experiment pessimism: its arms, each fitted to drawn win matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab.estimators import chi_po
from banditlab.estimators import pessimism as pessimistic
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.coverage.pessimism.experiment import Config

GREEDY, NARROW = "greedy", "narrow"
# Pessimism measured from: a_3, which data link to a_4; the uniform policy; a_1, which only the one label links to a_4.
COVERED, UNIFORM, UNCOVERED = "covered", "uniform", "uncovered"
COMPARISONS = {COVERED: np.eye(4)[2], UNIFORM: np.full(4, 0.25), UNCOVERED: np.eye(4)[0], NARROW: np.eye(4)[2]}
_BLOCK = 8192


def simulate(config: Config, num_labels: int) -> dict[str, np.ndarray]:
    """Arm -> gap (num_seeds,) of the policies fitted to drawn win matrices; not_converged (), a count of fits."""
    env = bl.instances.zhu_jordan_jiao()
    laws = np.zeros((2, 1, 4, 4))  # all labels but one compare a_1 with a_2, the last compares a_2 with a_3
    laws[0, 0, 0, 1] = laws[1, 0, 1, 2] = 1.0
    outcome_laws = jax.vmap(lambda law: bl.preferences.outcome_law(env, law))(jnp.asarray(laws))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), num_labels), config.num_seeds)
    with np.errstate(divide="ignore"):
        comparisons = jnp.asarray(np.log(np.stack(list(COMPARISONS.values()))))[:, None, :]
    widths = jnp.asarray([width(config, arm) for arm in COMPARISONS])
    numbers = [jnp.float64(x) for x in (config.max_norm, config.ridge, config.temperature)]
    counts = jnp.asarray([num_labels - 1.0, 1.0])
    gaps, converged = _fitted_gaps(env, keys, outcome_laws, counts, widths, comparisons, *numbers)
    missed = {"not_converged": np.asarray((~converged).sum())}
    return dict(zip(arms(config), np.asarray(gaps).T, strict=True)) | missed | failures(missed)


@jax.jit
def _fitted_gaps(env, keys, outcome_laws, counts, widths, comparisons, max_norm, ridge, temperature):
    """(num_seeds, arms) expected-reward gaps of greedy, every pessimistic arm and chi-PO; (num_seeds,) converged."""

    def one(key):
        draws = jax.vmap(bl.preferences.draw_counts)(jax.random.split(key), outcome_laws, counts)
        wins = jnp.sum(draws, axis=0)
        fitted = chi_po.fit(env, wins, temperature=temperature, max_norm=max_norm)
        params = fitted.rewards.params
        gram = pessimistic.gram(env, wins, ridge)
        rewards = env.beta * jnp.einsum("xad,d->xa", env.features, params)
        bounds = jax.vmap(lambda w, nu: pessimistic.lower_bound(env, params, gram, w, nu))(widths, comparisons)
        chosen = jax.vmap(lambda values: pessimistic.greedy(env, values))(jnp.concatenate([rewards[None], bounds]))
        played = jnp.concatenate([chosen, fitted.log_policy[None]])
        expected = jax.vmap(lambda log_policy: bl.metrics.expected_reward(env, log_policy))(played)
        return jnp.max(env.reward) - expected, fitted.rewards.status == bl.Status.converged

    return jax.lax.map(one, keys, batch_size=_BLOCK)


def arms(config: Config) -> tuple[str, ...]:
    return GREEDY, *COMPARISONS, chi_po_arm(config.temperature)


def width(config: Config, arm: str) -> float:
    return config.narrow if arm == NARROW else config.width


def chi_po_arm(temperature: float) -> str:
    return f"chi_po b={temperature:g}"
