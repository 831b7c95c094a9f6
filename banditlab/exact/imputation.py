"""One context with unlabelled actions: the values that DPO, HyPO and RLHF impute to them, and what these cost."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax


def imputed_value(
    learner: str, log_reference: np.ndarray, reward: np.ndarray, seen: np.ndarray, beta: float, bound: float = np.inf
) -> float:
    """The reward of the unseen actions, on the scale of the true seen ones, for which the learner's policy is optimal.

    Args:
        learner: "dpo", gradient flow: the plain mean of the seen. "hypo", lambda -> 0+: their mean under pi|S. "rlhf"
            with |r| <= bound and a log-barrier: 0, with the seen rewards shifted by the c that maximises sum
            log(bound^2 - (r_a + c)^2).
        log_reference, reward, seen: (A,).
    """
    logs, rewards = log_reference[seen], reward[seen]
    if learner == "dpo":
        return float(rewards.mean())
    if learner == "hypo":
        weights = np.exp(logs + rewards / beta)
        return float(weights @ rewards / weights.sum())
    room = (-bound - rewards.min(), bound - rewards.max())
    centre = minimize_scalar(
        lambda c: -np.log(bound**2 - (rewards + c) ** 2).sum(), bounds=room, method="bounded", options={"xatol": 1e-12}
    )
    return -float(centre.x)


def plain_mean(reward: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(..., 1) what DPO imputes, for tables (..., A): the mean of the seen rewards."""
    return np.asarray(np.where(seen, reward, 0.0).sum(-1, keepdims=True) / seen.sum(-1, keepdims=True))


def tilted_mean(logits: np.ndarray, reward: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(..., 1) what HyPO imputes as lambda falls to 0, for the logits (..., A) of pi: the mean reward under pi|S."""
    on_seen = softmax(np.where(seen, logits, -np.inf), axis=-1)
    return np.asarray((on_seen * np.where(seen, reward, 0.0)).sum(-1, keepdims=True))


def gap(
    imputed: float, truth: float, log_reference: np.ndarray, reward: np.ndarray, seen: np.ndarray, beta: float
) -> float:
    """beta kl(q||q*), the masses of the unseen actions under their imputed value and under the truth."""
    offset = np.logaddexp.reduce(log_reference[~seen]) - np.logaddexp.reduce(log_reference[seen] + reward[seen] / beta)
    mine, true = imputed / beta + float(offset), truth / beta + float(offset)
    # kl(q||q*) = A(l*) - A(l) - q (l* - l), A(l) = log(1 + e^l), for the logits l.
    return float(beta * (np.logaddexp(0.0, true) - np.logaddexp(0.0, mine) - expit(mine) * (true - mine)))


def crossing(truths: np.ndarray, gaps: np.ndarray, others: np.ndarray) -> float:
    """The true reward of the unseen actions at which two policies have the same gap, from their gaps at `truths` (N,).

    J is linear in the unseen reward, so the difference of two gaps is too: two points, the ends, give its zero.
    """
    apart = gaps - others
    return float(truths[0] - apart[0] * (truths[-1] - truths[0]) / (apart[-1] - apart[0]))
