"""Random and extremal pairs of an instance and a policy, drawn with NumPy, whose streams no release changes."""

import math

import jax.numpy as jnp
import numpy as np

import banditlab as bl

_OSCILLATIONS = (0.05, 8.0)


def random_instances(
    shape: tuple[int, int, int], rng: np.random.Generator, count: int
) -> tuple[bl.Environment, np.ndarray]:
    """Gaussian features, theta* and direction away from it, Dirichlet contexts and references, osc in [.05, 8].

    Returns environments of shape (S, A, d) as one pytree with leaves (count, ...), and params (count, d).
    """
    contexts, actions, size = shape
    features = rng.standard_normal((count, contexts, actions, size))
    target, direction = rng.standard_normal((2, count, size))
    smallest, largest = _OSCILLATIONS
    gaps = np.einsum("nxad,nd->nxa", features, direction)
    osc = np.exp(rng.uniform(math.log(smallest), math.log(largest), count))
    direction *= (osc / np.ptp(gaps, axis=2).max(axis=1))[:, None]
    reference = np.log(rng.dirichlet(np.ones(actions), (count, contexts)))
    return _stacked(features, target, reference, rng.dirichlet(np.ones(contexts), count)), target + direction


def extremal_instances(
    num_needles: int, rng: np.random.Generator, count: int, rarity: float = 6.0
) -> tuple[bl.Environment, np.ndarray]:
    """Instances at which |log C_op| >= (1 - 2 e^{-rarity}) osc: arm 0 at phi = 0, d needles at e_i, uniform reference.

    The logit between the common arm and all the needles together is at least `rarity`.
    All needles share theta_i = -a at one of the two policies and -(a + u) at the other; osc = u. Their mass is
    p = e^{-a}/(1 + d e^{-a}) each, or p' likewise, and V = diag(p) - pp' lies between p (1 - d p) I and p I. So
    C_op of the rarer policy is at least p (1 - d p)/p', and that of the other at most p'/(p (1 - d p)): in both
    cases |log C_op| >= u - 2 log(1 + d e^{-a}). Here d e^{-a} <= e^{-rarity} and u >= 1. Returned as random_instances.
    """
    lift = rarity + math.log(num_needles) + rng.uniform(0.0, 2.0, count)
    osc = rng.uniform(1.0, _OSCILLATIONS[1], count)
    losing = rng.random(count) < 0.5
    target = np.where(losing, lift, lift + osc)[:, None] * -np.ones(num_needles)
    params = np.where(losing, lift + osc, lift)[:, None] * -np.ones(num_needles)
    features = np.vstack([np.zeros(num_needles), np.eye(num_needles)])[None]
    features = np.broadcast_to(features, (count, *features.shape))
    uniform = np.full(features.shape[:3], -math.log(num_needles + 1))
    return _stacked(features, target, uniform, np.ones((count, 1))), params


def _stacked(
    features: np.ndarray, target: np.ndarray, log_reference: np.ndarray, context_probs: np.ndarray
) -> bl.Environment:
    """Identified linear softmax environments with beta = 1."""
    count, size = len(features), features.shape[-1]
    return bl.Environment(
        features=jnp.asarray(features),
        context_probs=jnp.asarray(context_probs),
        log_reference=jnp.asarray(log_reference),
        log_base=jnp.asarray(log_reference),
        beta=jnp.ones(count),
        difference_basis=jnp.broadcast_to(jnp.eye(size), (count, size, size)),
        target_params=jnp.asarray(target),
        reference_params=jnp.zeros((count, size)),
        reference_missed=jnp.zeros(count),
        residual=jnp.zeros(count),
    )
