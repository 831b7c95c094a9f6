"""The instance of `attainability`, its maximum-likelihood rewards and the first-order effect of a small penalty.

First order. Let u(lambda) be the stationary logits of L(u) + lambda K(u), L the DPO loss and K = E_x KL(pi||pi_ref), N
the indicators of the components. L does not depend on N'u, so N' grad K(u(lambda)) = 0 for every lambda > 0, and from
u(0), where grad L = 0 as well,

    u(lambda) = u(0) + lambda (v + N z) + O(lambda^2),    v = -(hess L)^+ grad K,    N' hess K (v + N z) = 0.    (1)

Everything here is NumPy, for concrete arrays.
"""

import numpy as np
from scipy.special import expit

import banditlab as bl
from experiments.partial_coverage.shared.label_curvature import hessian

# Compared pairs by context: actions 4 and 5 of the first are unseen; the second has two components and 5 unseen.
PAIRS = (((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)), ((0, 1), (1, 2), (3, 4)))
_REFERENCE = ((0.25, 0.1, 0.3, 0.1, 0.15, 0.1), (0.1, 0.3, 0.15, 0.1, 0.15, 0.2))
_REWARD = ((-0.5, 1.2, 0.0, 0.4, 2.0, -1.0), (1.0, 0.0, -0.6, 0.9, -0.2, 0.5))


def instance() -> tuple[bl.Environment, np.ndarray, np.ndarray]:
    """The environment, the seen actions (S, A) and the pair law (S, A, A), uniform over the compared pairs."""
    env = bl.instances.tabular(_REWARD, np.log(_REFERENCE))
    law = np.zeros((env.num_contexts, env.num_actions, env.num_actions))
    for context, pairs in enumerate(PAIRS):
        for first, second in pairs:
            law[context, first, second] = float(env.context_probs[context]) / len(pairs)
    seen = (law + law.swapaxes(1, 2)).sum(axis=2) > 0
    return env, seen, law


def maximum_likelihood(wins: np.ndarray, max_steps: int = 100) -> np.ndarray | None:
    """(S, A) rewards that maximise the Bradley-Terry likelihood of wins (S, A, A), zero on average over every
    component; None without a maximum. Newton's method in the rewards."""
    total = wins.sum()
    reward = np.zeros(wins.shape[:2])
    for _ in range(max_steps):
        gaps = reward[:, :, None] - reward[:, None, :]
        flow = (wins * expit(-gaps) - wins.swapaxes(1, 2) * expit(gaps)).sum(axis=2)
        steps = [np.linalg.pinv(block, rcond=1e-10) @ g for block, g in zip(hessian(wins, reward), flow, strict=True)]
        reward = reward + np.stack(steps)
        if np.abs(reward).max() > 30:
            return None
        if np.abs(flow).max() < 1e-12 * total:
            return reward
    return None


def first_order(
    log_reference: np.ndarray, log_policy: np.ndarray, outcomes: np.ndarray, reward: np.ndarray, beta: float
) -> np.ndarray:
    """(S, A) derivative of log pi in lambda at 0+, by (1).

    Args:
        log_reference, log_policy: (S, A), the reference and the limit of the stationary point.
        outcomes: (S, A, A) outcome law of the labels; the context's probability is in it.
        reward: (S, A) true rewards, which are what the population labels imply.
    """
    curvature = beta**2 * hessian(outcomes, reward)
    derivative = np.zeros_like(log_policy)
    for x in range(len(log_policy)):
        policy, ratio = np.exp(log_policy[x]), log_policy[x] - log_reference[x]
        weight = outcomes[x].sum()
        value = ratio - policy @ ratio
        spread = np.diag(policy) - np.outer(policy, policy)
        slope = weight * policy * value
        bend = weight * (spread * value[:, None] + spread - np.outer(policy, policy * value))
        seen = -np.linalg.pinv(curvature[x], rcond=1e-10) @ slope
        null = _indicators(outcomes[x])
        # A common shift of all logits is in the null space of K too: least squares leaves it at zero.
        moved = seen - null @ np.linalg.lstsq(null.T @ bend @ null, null.T @ bend @ seen, rcond=1e-10)[0]
        derivative[x] = moved - policy @ moved
    return derivative


def _indicators(weights: np.ndarray) -> np.ndarray:
    """(A, C) 0-1 columns, one for every component of the graph of a symmetric or one-sided weight matrix."""
    label = np.arange(len(weights))
    for _ in label:
        for i, j in np.argwhere(weights + weights.T > 0):
            label[i] = label[j] = min(label[i], label[j])
    return (label[:, None] == np.unique(label)[None, :]).astype(float)
