"""Variances of score-function gradient estimators in one context, from the policy and the values alone.

With s = e_y - pi and h(y, y') = (f(y) - f(y'))(s - s')/2, RLOO is rho times the U-statistic of h; its variance is
Hoeffding's, [4 (k - 2) zeta_1 + 2 zeta_2]/(k (k - 1)). REINFORCE is a mean of k independent f s, the naive estimator
one of k independent s. Variances are traces of covariances.
"""

import numpy as np

RLOO, REINFORCE, NAIVE = "rloo", "reinforce", "naive"
ESTIMATORS = (RLOO, REINFORCE, NAIVE)


def variances(policy: np.ndarray, values: np.ndarray, num_samples: float) -> dict[str, float]:
    """Variance of every estimator with k = num_samples draws of one context, rho = 1.

    Args:
        policy: (A,) probabilities.
        values: (A,) f.
        num_samples: k >= 2; inf gives k times the variance in the limit.
    """
    scores = np.eye(len(policy)) - policy
    weighted = values[:, None] * scores
    mean = policy @ weighted
    kernel = 0.5 * (values[:, None] - values)[:, :, None] * (scores[:, None, :] - scores[None, :, :])
    projected = np.einsum("b,abc->ac", policy, kernel)  # E[h | y]
    first = policy @ ((projected - mean) ** 2).sum(1)
    second = np.einsum("a,b,abc->", policy, policy, (kernel - mean) ** 2)
    single = {REINFORCE: policy @ ((weighted - mean) ** 2).sum(1), NAIVE: 1 - policy @ policy}
    k = num_samples
    if np.isinf(k):
        return {RLOO: float(4 * first)} | {name: float(value) for name, value in single.items()}
    own = {RLOO: (4 * (k - 2) * first + 2 * second) / (k * (k - 1))}
    return {name: float(value) for name, value in (own | {name: v / k for name, v in single.items()}).items()}
