"""The random bandits of `unseen_mass`, what training ends at on them, and the closed forms."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits
from banditlab.estimators.descent import descend
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.partial_coverage.unseen_mass.experiment import Config

RANDOM, UNIFORM = "random reference", "uniform reference"
LEARNERS = ("dpo", "hypo")
# On the gradient norm, for what counts as converged.
TOLERANCE = 1e-8


def train(config: Config) -> dict[str, np.ndarray]:
    """Per bandit: reference, reward, outcome law, the closed forms; by learner what it ends at, and has early on."""
    reference, reward = draw(config)
    seen = np.arange(reward.shape[1])[None] < config.num_seen
    law = np.triu(seen[0][:, None] & seen[0][None, :], 1).astype(float)
    env = bl.instances.tabular(np.zeros(seen.shape), beta=config.beta)
    # The largest eigenvalues of the two Hessians are at most these.
    curvature = config.beta**2 * config.num_seen / (4 * law.sum()) + np.array([0.0, config.penalty / 4])
    settings = (jnp.asarray([0.0, config.penalty]), jnp.asarray(1 / curvature))
    record_at = jnp.asarray([config.early_steps, config.num_steps])
    arrays = (jnp.asarray(value) for value in (reference, reward, law[None] / law.sum(), seen))
    found = {name: np.asarray(value) for name, value in _ends(env, *arrays, *settings, record_at).items()}
    failed = {f"{name}: not converged": found["gradient_norm"][k] > TOLERANCE for k, name in enumerate(LEARNERS)}
    return found | {"reference": reference, "reward": reward} | failures(failed)


def draw(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """References and rewards (bandits, A), those with a random reference first."""
    rng = np.random.default_rng(config.seed)
    number, unseen = config.num_bandits + config.num_uniform, np.asarray(config.unseen_mass)
    shares = rng.dirichlet(np.ones(config.num_seen), number)
    shares[config.num_bandits :] = 1 / config.num_seen
    reference = np.concatenate([(1 - unseen.sum()) * shares, np.broadcast_to(unseen, (number, len(unseen)))], axis=1)
    spread = rng.uniform(0.0, config.spread, (number, 1))
    return reference, spread * rng.uniform(-1.0, 1.0, reference.shape)


@jax.jit
def _ends(env, reference, reward, law, seen, penalties, step_sizes, record_at):
    """Closed forms (bandits,); per penalty the policies recorded (2, bandits, R, A) and last gradient norms."""

    def one(probs, rewards):
        logs = jnp.log(probs)[None]
        bandit = dataclasses.replace(env, log_reference=logs, given_reward=rewards[None])
        wins = bl.preferences.outcome_law(bandit, law)

        def trained(penalty, step_size):
            options = {"record_at": record_at, "step_size": step_size, "penalty": penalty}
            found = descend(jax.random.key(0), bandit, wins, logs[0], **options)
            return jax.vmap(bandit.log_policy)(found.params)[:, 0], found.gradient_norm[-1]

        condition = gradient_limits.unseen_growth(bandit, rewards[None], seen)[0]
        limit = gradient_limits.dpo_flow_limit(bandit, rewards[None], seen)[0]
        mass = [jnp.sum(jnp.where(seen[0], 0.0, jnp.exp(table))) for table in (limit, logs[0])]
        ends = jax.vmap(trained)(penalties, step_sizes)
        return *ends, condition, jnp.log(mass[0] / mass[1]), wins[0]

    found = jax.vmap(one, out_axes=(1, 1, 0, 0, 0))(reference, reward)
    return dict(zip(("log_policy", "gradient_norm", "condition", "growth", "outcomes"), found, strict=True))
