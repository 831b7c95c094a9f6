"""The first-order effect of a small KL penalty on where descent on the DPO loss ends, for the tabular softmax.

Let u(lambda) be the stationary logits of L(u) + lambda K(u), L the DPO loss and K = E_x KL(pi||pi_ref), N the
indicators of the components of compared actions. L does not depend on N'u, so N' grad K(u(lambda)) = 0 for every lambda
> 0, and from u(0), where grad L = 0 as well,

    u(lambda) = u(0) + lambda (v + N z) + O(lambda^2),    v = -(hess L)^+ grad K,    N' hess K (v + N z) = 0.    (1)
"""

import numpy as np


def derivative(
    log_reference: np.ndarray, log_policy: np.ndarray, outcomes: np.ndarray, curvature: np.ndarray
) -> np.ndarray:
    """(S, A) derivative of log pi in lambda at 0+, by (1).

    Args:
        log_reference, log_policy: (S, A), the reference and the limit of the stationary point.
        outcomes: (S, A, A) outcome law of the labels; the context's probability is in it.
        curvature: (S, A, A) Hessian of L in the logits, a block per context.
    """
    found = np.zeros_like(log_policy)
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
        found[x] = moved - policy @ moved
    return found


def _indicators(weights: np.ndarray) -> np.ndarray:
    """(A, C) 0-1 columns, one for every component of the graph of a symmetric or one-sided weight matrix."""
    label = np.arange(len(weights))
    for _ in label:
        for i, j in np.argwhere(weights + weights.T > 0):
            label[i] = label[j] = min(label[i], label[j])
    return (label[:, None] == np.unique(label)[None, :]).astype(float)
