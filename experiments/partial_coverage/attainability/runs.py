"""The instance of `attainability`, the policies trained on it, and how far each can be from its optimum."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import gradient_limits
from banditlab.estimators.descent import descend
from banditlab.exact import residuals
from banditlab.store import failures
from experiments.partial_coverage.shared.label_curvature import least_curvature, maximum_likelihood

if TYPE_CHECKING:
    from experiments.partial_coverage.attainability.experiment import Config

DPO, ADAM, HYPO = "dpo", "adam", "hypo"
# Compared pairs by context: actions 4 and 5 of the first are unseen; the second has two components and 5 unseen.
_PAIRS = (((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)), ((0, 1), (1, 2), (3, 4)))
_REFERENCE = ((0.25, 0.1, 0.3, 0.1, 0.15, 0.1), (0.1, 0.3, 0.15, 0.1, 0.15, 0.2))
_REWARD = ((-0.5, 1.2, 0.0, 0.4, 2.0, -1.0), (1.0, 0.0, -0.6, 0.9, -0.2, 0.5))


def instance() -> tuple[bl.Environment, np.ndarray, np.ndarray]:
    """The environment, the seen actions (S, A) and the pair law (S, A, A), uniform over the compared pairs."""
    env = bl.instances.tabular(_REWARD, np.log(_REFERENCE))
    law = np.zeros((env.num_contexts, env.num_actions, env.num_actions))
    for context, pairs in enumerate(_PAIRS):
        for first, second in pairs:
            law[context, first, second] = float(env.context_probs[context]) / len(pairs)
    return env, (law + law.swapaxes(1, 2)).sum(axis=2) > 0, law


def train(config: Config) -> dict[str, np.ndarray]:
    """Every trained policy, with how it was trained; `dataset` is -1 for population labels."""
    env, _, law = instance()
    outcomes = bl.preferences.outcome_law(env, jnp.asarray(law))
    counts = np.random.default_rng(config.seed).multinomial(
        config.num_labels, np.asarray(outcomes).ravel(), config.num_datasets
    )
    wins = counts.reshape(-1, *outcomes.shape).astype(float)
    exact, drawn = (-1,), range(-1, config.num_datasets)
    columns = []
    for optimizer, penalties, datasets, num_steps in (
        (HYPO, config.penalties, exact, config.hypo_steps),
        (DPO, (0.0,), drawn, config.dpo_steps),
        (ADAM, (0.0,), exact, config.adam_steps),
    ):
        lanes = [(beta, penalty, dataset) for beta in config.betas for penalty in penalties for dataset in datasets]
        beta, penalty, dataset = (np.asarray(values) for values in zip(*lanes, strict=True))
        # The largest eigenvalues of the two Hessians are about beta^2/8 and below 1/4.
        step = np.full(len(beta), config.learning_rate) if optimizer == ADAM else 1 / (beta**2 / 12 + penalty / 4)
        labels = np.concatenate([wins, np.asarray(outcomes)[None]])[dataset]
        arrays = (jnp.asarray(value) for value in (labels, beta, penalty, step))
        found = _descend(env, *arrays, jnp.asarray([num_steps]), optimizer=ADAM if optimizer == ADAM else "gradient")
        column = {"optimizer": np.full(len(beta), optimizer), "num_steps": np.full(len(beta), num_steps)}
        column |= {"beta": beta, "penalty": penalty, "dataset": dataset}
        columns.append(column | {name: np.asarray(value) for name, value in found.items()})
    arrays = {k: np.concatenate([each[k] for each in columns]) for k in columns[0]} | {"wins": wins}
    return arrays | failures({"no maximum of the likelihood": [maximum_likelihood(table) is None for table in wins]})


@partial(jax.jit, static_argnames="optimizer")
def _descend(env, wins, beta, penalty, step_size, record_at, *, optimizer) -> dict[str, Array]:
    start = env.log_reference.reshape(-1)

    def one(labels, temperature, weight, step):
        options = {"record_at": record_at, "step_size": step, "penalty": weight, "beta": temperature}
        found = descend(jax.random.key(0), env, labels, start, **options, optimizer=optimizer)
        return {"log_policy": env.log_policy(found.params[-1]), "gradient_norm": found.gradient_norm[-1]}

    return jax.vmap(one)(wins, beta, penalty, step_size)


def allowed_distance(
    log_policy: np.ndarray, wins: np.ndarray, reward: np.ndarray, *, beta: float, gradient_norm: float, num_steps: int
) -> float:
    """How far in log-probability a point with this gradient of the DPO loss can be from the flow's limit.

    A gradient g in the logits leaves them |g|/mu from the optimum, mu the least curvature beta^2 l of the loss (twice
    that, for its change on the way), and log pi twice as far. The sums over components are conserved up to the
    rounding of every step.
    """
    rounding = 2.0**-52 * np.abs(log_policy).max() * log_policy.shape[1] * num_steps
    return float(residuals.of_descent(gradient_norm, beta**2 * least_curvature(wins, reward))) + rounding


def stationarity(log_policy: np.ndarray, penalty: float, gradient_norm: float) -> dict[str, float]:
    """Residual of (3) of `gradient_limits`, and what gradient and rounding allow of it.

    A residual of (3) is a partial sum of the gradient over lambda rho pi(C).
    """
    env, seen, law = instance()
    residual = np.abs(np.asarray(gradient_limits.hypo_stationarity(env, jnp.asarray(log_policy), seen, pairs=law)))
    smallest = float(np.asarray(env.context_probs).min()) * np.exp(log_policy).min()
    bound = np.sqrt(log_policy.shape[1]) * gradient_norm / (penalty * smallest)
    largest = np.abs(log_policy - np.asarray(env.log_reference)).max()
    return {"residual": residual.max(), "allowed_residual": bound + 2.0**-50 * largest / smallest}
