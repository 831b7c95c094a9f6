"""The two instances of `who_wins` and the policies trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import scenarios
from banditlab.estimators import bounded
from banditlab.estimators.descent import descend
from banditlab.store import failures
from experiments.partial_coverage.shared import label_curvature

if TYPE_CHECKING:
    from experiments.partial_coverage.who_wins.experiment import Config

EVEN, LOSER = "even reference", "loser-heavy reference"
DPO, HYPO, RLHF = "dpo", "hypo", "rlhf"


def instances(beta: float) -> dict[str, scenarios.Scenario]:
    """One context, four seen actions and one unseen of mass 0.1; the same number of everything, so one program."""
    reference = np.log([[0.225, 0.225, 0.225, 0.225, 0.1]])
    even = bl.instances.tabular([[0.0, 0.2, 0.4, 2.0, 0.0]], reference, beta=beta)
    seen = np.array([[True, True, True, True, False]])
    return {EVEN: scenarios.labelled(even, seen), LOSER: scenarios.loser_heavy_reference(beta=beta)}


def lanes(config: Config) -> list[tuple[str, float]]:
    return [(DPO, 0.0), (HYPO, config.penalty), (HYPO, 2 * config.penalty), (RLHF, 0.0)]


def train(config: Config) -> dict[str, np.ndarray]:
    """log_policy (instances, 4, S, A), the error that its own residual allows, and whether it failed to converge."""
    columns = {"log_policy": [], "error": [], "failed": []}
    penalties = jnp.asarray([0.0, config.penalty, 2 * config.penalty])
    for scenario in instances(config.beta).values():
        env, wins = scenario.env, bl.preferences.outcome_law(scenario.env, scenario.pair_law)
        curvature = label_curvature.hessian(np.asarray(wins), np.asarray(env.reward))
        least = label_curvature.least_curvature(np.asarray(wins), np.asarray(env.reward))
        step = 1 / (float(env.beta) ** 2 * np.linalg.eigvalsh(curvature).max() + np.asarray(penalties) / 4)
        log_policy, norm = _descend(env, wins, penalties, jnp.asarray(step), jnp.asarray([config.num_steps]))
        reward = bounded.fit(env, wins, config.reward_bound)
        columns["log_policy"].append(np.concatenate([log_policy, _optimum(env, reward.reward)[None]]))
        # Descent: twice gradient over curvature, and twice again for log pi. Barrier: l |dr|^2/2 <= its excess; twice
        # for pi, twice for the centre, which follows an average of r.
        descent = 4 * np.asarray(norm) / (float(env.beta) ** 2 * least) + 1e-12
        barrier = 4 * np.sqrt(2 * float(reward.excess) / least) / float(env.beta)
        columns["error"].append(np.append(descent, barrier))
        columns["failed"].append(np.append(np.asarray(norm) > 1e-9, int(reward.status) != bl.Status.converged))
    arrays = {name: np.stack(values) for name, values in columns.items()}
    return arrays | failures({"policies not converged": arrays["failed"]})


@jax.jit
def _descend(env, wins, penalties, step_sizes, record_at) -> tuple[Array, Array]:
    start = env.log_reference.reshape(-1)

    def one(penalty, step_size):
        found = descend(jax.random.key(0), env, wins, start, record_at=record_at, step_size=step_size, penalty=penalty)
        return env.log_policy(found.params[-1]), found.gradient_norm[-1]

    return jax.vmap(one)(penalties, step_sizes)


def _optimum(env: bl.Environment, reward: Array) -> np.ndarray:
    return np.asarray(jax.nn.log_softmax(env.log_reference + reward / env.beta, axis=-1))
