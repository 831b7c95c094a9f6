"""The independent reference: DPO in plain NumPy and SciPy, one seed at a time, one row per label.

It shares no code, no random numbers and no formulation with banditlab: labels are drawn row by row rather
than counted in a win matrix, the fit is L-BFGS on the drawn rows rather than Newton on their Laplacian, and
the gap is a difference of two values of J rather than I3. It is both the yardstick of the tests and the
baseline of the benchmarks, so it is written as one would by hand, vectorised over the labels of a seed.
"""

from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

Sampler = Literal["on_policy", "offline", "uniform"]


def draw_rows(
    features: np.ndarray,
    policy: np.ndarray,
    context_probs: np.ndarray,
    scaled_target: np.ndarray,
    num_pairs: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw labelled pairs x ~ rho, y, y' iid pi(.|x); y wins with probability sigma(beta theta*'z).

    features (S,A,d), policy (S,A), context_probs (S,), scaled_target = beta theta* (d,). Returns the
    (num_pairs, d) feature differences phi(x, winner) - phi(x, loser).
    """
    num_contexts, num_actions, _ = features.shape
    context = rng.choice(num_contexts, size=num_pairs, p=context_probs)
    # The cumulative rows laid end to end make one sorted table: the row of context x covers [x, x + 1].
    table = (np.cumsum(policy, axis=1) + np.arange(num_contexts)[:, None]).ravel()
    cell = np.searchsorted(table, context + rng.random((2, num_pairs)), side="right")
    action = np.clip(cell - num_actions * context, 0, num_actions - 1)
    difference = features[context, action[0]] - features[context, action[1]]
    first_wins = rng.random(num_pairs) < expit(difference @ scaled_target)
    return np.where(first_wins[:, None], difference, -difference)


def fit(
    rows: np.ndarray,
    *,
    ridge: float = 0.0,
    center: np.ndarray,
    start: np.ndarray,
    gradient_tolerance: float = 1e-5,
    value_tolerance: float = 2.2e-9,
) -> np.ndarray:
    """Minimise sum_i -log sigma(theta'row_i) + (ridge/2)||theta - center||^2 by L-BFGS.

    rows (n,d) are beta times winner-minus-loser differences, center and start (d,); the tolerances default to
    SciPy's own. Returns theta (d,).
    """

    def loss(params: np.ndarray) -> tuple[float, np.ndarray]:
        margin = rows @ params
        shift = params - center
        value = np.logaddexp(0.0, -margin).sum() + 0.5 * ridge * (shift @ shift)
        return value, ridge * shift - rows.T @ expit(-margin)

    options = {"gtol": gradient_tolerance, "ftol": value_tolerance}
    return minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x


def kl_divergence(context_probs: np.ndarray, log_p: np.ndarray, log_q: np.ndarray) -> float:
    """E_x KL(p||q) for log-probability tables (S,A); actions with p = 0 contribute nothing."""
    support = log_p > -np.inf
    ratio = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=support)
    return float(context_probs @ (np.exp(log_p) * ratio).sum(axis=1))


def simulate(
    features: np.ndarray,
    target_params: np.ndarray,
    log_reference: np.ndarray,
    context_probs: np.ndarray,
    beta: float,
    *,
    sampler: Sampler,
    num_pairs: int,
    num_rounds: int,
    ridge: float = 0.0,
    center: str = "previous",
    pooled: bool = False,
    initial_params: np.ndarray | None = None,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Run one seed of DPO on the linear softmax class pi_theta = pi_ref exp(theta'phi)/Z.

    Labels are Bradley-Terry with reward r* = beta theta*'phi. Each round buys num_pairs of them on pairs
    from the current policy ("on_policy"), the policy sampling started from ("offline", always refitted on
    all labels so far) or the uniform policy on the reference's support ("uniform"), and refits on the
    fresh batch or, pooled, on all labels; the ridge pulls to theta_k ("previous") or to 0 ("reference").
    features (S,A,d), target_params and initial_params (d,), log_reference (S,A), context_probs (S,).
    Returns kl_target = E_x KL(pi*||pi) and gap = J(pi*) - J(pi), each (num_rounds,), entry k after k + 1
    rounds. Raises ValueError on an unknown sampler or center.
    """
    if sampler not in ("on_policy", "offline", "uniform"):
        raise ValueError(f"sampler must be 'on_policy', 'offline' or 'uniform'; got {sampler!r}")
    if center not in ("previous", "reference"):
        raise ValueError(f"center must be 'previous' or 'reference'; got {center!r}")
    reward = beta * features @ target_params

    def log_policy(params: np.ndarray) -> np.ndarray:
        return log_softmax(log_reference + features @ params, axis=1)

    def value(log_table: np.ndarray) -> float:
        expected_reward = context_probs @ (np.exp(log_table) * reward).sum(axis=1)
        return expected_reward - beta * kl_divergence(context_probs, log_table, log_reference)

    log_target = log_policy(target_params)
    best_value = value(log_target)
    params = np.zeros(features.shape[2]) if initial_params is None else np.asarray(initial_params, float)
    support = log_reference > -np.inf
    uniform = support / support.sum(axis=1, keepdims=True)
    policy = uniform if sampler == "uniform" else np.exp(log_policy(params))
    keep_all = pooled or sampler == "offline"
    batches: list[np.ndarray] = []
    kl_target, gap = np.empty(num_rounds), np.empty(num_rounds)
    for k in range(num_rounds):
        batch = beta * draw_rows(features, policy, context_probs, beta * target_params, num_pairs, rng)
        batches = [*batches, batch] if keep_all else [batch]
        pull = params if center == "previous" else np.zeros_like(params)
        params = fit(np.concatenate(batches), ridge=ridge, center=pull, start=params)
        log_table = log_policy(params)
        if sampler == "on_policy":
            policy = np.exp(log_table)
        kl_target[k] = kl_divergence(context_probs, log_target, log_table)
        gap[k] = best_value - value(log_table)
    return {"kl_target": kl_target, "gap": gap}
