"""The sweeps, the drawn labels and the ensemble of `extrapolation`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.special import logsumexp

import banditlab as bl
from banditlab.algorithms.rlhf import rlhf
from banditlab.estimators import bounded
from banditlab.estimators.descent import descend
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.partial_coverage.extrapolation.experiment import Config

_BLOCK = 1024  # seeds a call: one program, whatever their number
ARMS, SPANNED, UNSPANNED = ("dpo", "rlhf"), "spanned", "unspanned"
# Actions of the two sweeps: labels compare the first two alone.
ACTIONS, UNSEEN = ("loser", "preferred", "unseen"), 2


def sweep(config: Config, kind: str, setting: float) -> tuple[np.ndarray, np.ndarray]:
    """Features (3, 2) and theta* (2,) of a setting."""
    scale = config.target / config.beta
    if kind == SPANNED:  # the second coordinate is idle, so that both sweeps are one program
        return np.array([[0.0, 0.0], [1.0, 0.0], [setting, 0.0]]), np.array([scale, 0.0])
    unseen = config.length * np.array([np.cos(angle := np.deg2rad(setting)), np.sin(angle)])
    return np.array([[0.0, 0.0], [1.0, 0.0], unseen]), np.full(2, scale)


def _environment(config: Config, features: np.ndarray, target: np.ndarray) -> bl.Environment:
    return bl.Environment.create(
        features[None], target_params=target, log_reference=np.log([config.reference]), beta=config.beta,
        unidentified="allow",
    )  # fmt: skip


def _seen_pairs(config: Config) -> np.ndarray:
    """(1, 3, 3) both actions from pi_ref given that they are seen."""
    seen = np.where(np.arange(3) == UNSEEN, 0.0, config.reference)
    law = seen / (config.reference[0] + config.reference[1])
    return (law[:, None] * law[None, :])[None]


def _given(law, env, log_policy):
    del env, log_policy
    return law


def population(config: Config) -> dict[str, np.ndarray]:
    """log pi/pi_ref (settings, 3) of RLHF and of DPO by gradient descent from pi_ref, at the population's labels.

    The settings are the positions, then the angles.
    """
    settings = [(SPANNED, value) for value in config.positions] + [(UNSPANNED, value) for value in config.angles]
    envs = [_environment(config, *sweep(config, *setting)) for setting in settings]
    # Whatever a setting's features span, the program has the same shapes.
    envs = [dataclasses.replace(env, difference_basis=jnp.eye(2)) for env in envs]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *envs)
    algorithm = rlhf(np.inf, sampler=Partial(_given, jnp.asarray(_seen_pairs(config))))
    dpo, fitted, status = _population(algorithm, stacked, jnp.asarray([config.steps]))
    reference = np.log(config.reference)
    found = {"dpo": np.asarray(dpo) - reference, "rlhf": np.asarray(fitted) - reference}
    return found | failures({"fits not converged": np.asarray(status) != 0})


@jax.jit
def _population(algorithm, envs, record_at):
    def one(env):
        key = jax.random.key(0)  # nothing is drawn
        state, info = algorithm.step(key, algorithm.init(key, env), env)
        # Only one difference is seen, of norm 1: the mean loss has curvature beta^2/8 at most.
        step_size = 8 / env.beta**2
        path = descend(key, env, state.wins, env.start_params, record_at=record_at, step_size=step_size)
        return env.log_policy(path.params[-1])[0], state.log_policy[0], jnp.stack([info.status, path.status])

    return jax.lax.map(one, envs)


def sampled(config: Config, positions: tuple[float, ...], num_labels: float, num_seeds: int) -> dict[str, np.ndarray]:
    """log pi/pi_ref (positions, num_seeds, 3) of DPO and RLHF on the same drawn labels, at every position.

    No fit depends on the unseen action's feature, so that one a seed serves every position.
    """
    features, target = sweep(config, SPANNED, config.position)
    env = _environment(config, features[:, :1], target[:1])
    law = bl.preferences.outcome_law(env, jnp.asarray(_seen_pairs(config)))
    keys = jax.random.split(jax.random.key(config.seed), -(-num_seeds // _BLOCK) * _BLOCK)
    blocks = [
        jax.device_get(_fits(env, law, jnp.float64(num_labels), keys[first : first + _BLOCK]))
        for first in range(0, num_seeds, _BLOCK)
    ]
    *params, existence = (np.concatenate(parts)[:num_seeds] for parts in zip(*blocks, strict=True))
    tables = np.stack([sweep(config, SPANNED, position)[0][:, :1] for position in positions])
    out = failures({"seeds without a maximum of the likelihood": existence != bl.estimators.Existence.exists})
    for arm, fitted in zip(ARMS, params, strict=True):
        logits = np.einsum("pad,nd->pna", tables, fitted)
        out[arm] = logits - logsumexp(logits, axis=2, b=np.asarray(config.reference), keepdims=True)
    return out


@jax.jit
def _fits(env, law, num_labels, keys):
    """theta_hat (num_seeds, d) of DPO, w/beta of RLHF, and whether the optima exist."""

    def one(key):
        wins = bl.preferences.draw_counts(key, law, num_labels, capacity=None)
        direct, reward = bl.estimators.fit(env, wins), bounded.fit(env, wins, np.inf)
        return direct.params, reward.params / env.beta, jnp.maximum(direct.existence, reward.existence)

    return jax.vmap(one)(keys)


def ensemble(config: Config) -> dict[str, np.ndarray]:
    """Random bandits (sizes, N): ||theta_hat - theta*||, ||P theta* - theta*||, ||theta_hat - P theta*||.

    Labels are the population's on all pairs of the first `seen` actions; P by a QR decomposition of their differences.
    """
    rng = np.random.default_rng(config.seed)
    shape = (config.num_bandits, 1, config.num_actions, config.num_features)
    features, targets = rng.standard_normal(shape), rng.standard_normal((config.num_bandits, config.num_features))
    sizes = np.arange(2, config.num_actions + 1)
    template = bl.Environment.create(features[0], target_params=targets[0], beta=config.beta)
    params, status = jax.device_get(_plain_fits(template, *map(jnp.asarray, (features, targets, sizes))))
    lost, off = [], []
    for place, size in enumerate(sizes):
        differences = features[:, 0, 1:size] - features[:, 0, :1]
        basis = np.linalg.qr(differences.swapaxes(1, 2))[0]
        kept = np.einsum("nij,nkj,nk->ni", basis, basis, targets)
        lost.append(np.linalg.norm(targets - kept, axis=1))
        off.append(np.linalg.norm(params[:, place] - kept, axis=1))
    error = np.linalg.norm(params - targets[:, None], axis=2).T
    found = {"seen": sizes, "error": error, "lost": np.array(lost), "off": np.array(off)}
    return found | failures({"fits not converged": status != 0})


@jax.jit
def _plain_fits(template, features, targets, sizes):
    """w/beta (N, sizes, d) of the plain reward fit, and its status."""

    def one(feature, target):
        env = template.replace(features=feature, target_params=target)

        def fit(size):
            seen = jnp.where(jnp.arange(env.num_actions) < size, 1.0 / size.astype(float), 0.0)
            law = bl.preferences.outcome_law(env, seen[None, :, None] * seen[None, None, :])
            found = bounded.fit(env, law, np.inf)
            return found.params / env.beta, found.status

        return jax.vmap(fit)(sizes)

    return jax.lax.map(lambda pair: one(*pair), (features, targets), batch_size=64)
