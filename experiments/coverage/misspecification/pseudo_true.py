"""Pseudo-true parameters: where a logistic fit tends when no parameter explains the labels. NumPy and SciPy only."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax

import banditlab as bl


def minimiser(env: bl.Environment, win_probs: np.ndarray, pair_law: np.ndarray) -> np.ndarray:
    """theta_dagger (d,) = argmin E -log sigma(beta theta'z) for pairs (S, A, A) of which i beats j with `win_probs`."""
    outcomes, gaps = _outcomes(env, win_probs, pair_law)
    weights = outcomes.ravel()
    rows = gaps.reshape(-1, gaps.shape[-1])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = rows @ theta
        return float(-weights @ log_expit(margin)), -(weights * expit(-margin)) @ rows

    def hessian(theta: np.ndarray) -> np.ndarray:
        margin = rows @ theta
        return (rows * (weights * expit(margin) * expit(-margin))[:, None]).T @ rows

    start = np.asarray(env.target_params)
    return minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-13}).x


def after_rounds(env: bl.Environment, win_probs: np.ndarray, sampler: str, num_rounds: int) -> np.ndarray:
    """theta after num_rounds of infinitely many labels: the fixed sampler's minimiser, or the on-policy recursion."""
    if sampler == "uniform":
        return minimiser(env, win_probs, _pairs(env, np.zeros((env.num_contexts, env.num_actions))))
    log_policy = np.asarray(env.log_initial)
    theta = minimiser(env, win_probs, _pairs(env, log_policy))
    for _ in range(num_rounds - 1 if sampler == "on_policy" else 0):
        theta = minimiser(env, win_probs, _pairs(env, _scores(env, theta)))
    return theta


def sandwich(env: bl.Environment, win_probs: np.ndarray, pair_law: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """A^{-1} B A^{-1} (d, d), the limit of n Cov(theta_hat): A the Hessian of a label, B the score's second moment."""
    outcomes, gaps = _outcomes(env, win_probs, pair_law)
    margin = gaps @ theta
    bend = np.einsum("xij,xijr,xijs->rs", outcomes * expit(margin) * expit(-margin), gaps, gaps)
    noise = np.einsum("xij,xijr,xijs->rs", outcomes * expit(-margin) ** 2, gaps, gaps)
    return np.linalg.solve(bend, np.linalg.solve(bend, noise).T)


def kl_target(env: bl.Environment, theta: np.ndarray) -> float:
    """E_x KL(pi* || pi_theta)."""
    log_target = log_softmax(np.asarray(env.log_reference + env.reward / env.beta), axis=1)
    log_policy = log_softmax(_scores(env, theta), axis=1)
    return float(np.asarray(env.context_probs) @ (np.exp(log_target) * (log_target - log_policy)).sum(axis=1))


def _outcomes(env: bl.Environment, win_probs: np.ndarray, pair_law: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of (x, winner, loser) among labels, self-pairs left out, and beta (phi_winner - phi_loser)."""
    either = pair_law + pair_law.transpose(0, 2, 1)
    outcomes = either * win_probs * (1 - np.eye(env.num_actions))
    features = np.asarray(env.features)
    return outcomes, float(env.beta) * (features[:, :, None] - features[:, None, :])


def _scores(env: bl.Environment, theta: np.ndarray) -> np.ndarray:
    return np.asarray(env.log_base) + np.asarray(env.features) @ theta


def _pairs(env: bl.Environment, scores: np.ndarray) -> np.ndarray:
    probs = np.exp(log_softmax(scores, axis=1))
    return np.asarray(env.context_probs)[:, None, None] * probs[:, :, None] * probs[:, None, :]
