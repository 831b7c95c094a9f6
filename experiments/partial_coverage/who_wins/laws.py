"""The values that DPO, HyPO and RLHF impute to an action without labels, what they cost, and where two are equal."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

import banditlab as bl
from banditlab import gradient_limits, scenarios

DPO, HYPO, RLHF = "dpo", "hypo", "rlhf"


def with_unseen_reward(scenario: scenarios.Scenario, reward: float) -> bl.Environment:
    """The environment with this true reward on the unseen action."""
    return scenario.env.replace(reward=np.where(scenario.seen, scenario.env.reward, reward))


def imputed_value(scenario: scenarios.Scenario, learner: str, bound: float) -> float:
    """The reward of the unseen action, on the scale of the true seen ones, for which the learner's policy is optimal.

    DPO's gradient flow: their plain mean. HyPO, lambda -> 0+: their mean under pi|S. RLHF with |r| <= bound and a
    log-barrier: 0, with the seen rewards shifted by the c that maximises sum log(bound^2 - (r_a + c)^2).
    """
    env, seen = scenario.env, np.asarray(scenario.seen)[0]
    reward, logs = np.asarray(env.reward)[0, seen], np.asarray(env.log_reference)[0, seen]
    if learner == DPO:
        return float(reward.mean())
    if learner == HYPO:
        weights = np.exp(logs + reward / float(env.beta))
        return float(weights @ reward / weights.sum())
    room = (-bound - reward.min(), bound - reward.max())
    options = {"xatol": 1e-12}
    centre = minimize_scalar(
        lambda c: -np.log(bound**2 - (reward + c) ** 2).sum(), bounds=room, method="bounded", options=options
    )
    return -float(centre.x)


def imputation_gap(scenario: scenarios.Scenario, imputed: float, reward: float) -> float:
    """beta kl(q||q*), the masses of the unseen action under the imputed value and under its true reward."""
    env, seen = scenario.env, np.asarray(scenario.seen)[0]
    beta, logs, table = float(env.beta), np.asarray(env.log_reference)[0], np.asarray(env.reward)[0]
    offset = float(np.logaddexp.reduce(logs[~seen]) - np.logaddexp.reduce(logs[seen] + table[seen] / beta))
    mine, true = imputed / beta + offset, reward / beta + offset
    # kl(q||q*) = A(l*) - A(l) - q (l* - l), A(l) = log(1 + e^l), for the logits l.
    return float(beta * (np.logaddexp(0.0, true) - np.logaddexp(0.0, mine) - expit(mine) * (true - mine)))


def crossing_reward(scenario: scenarios.Scenario) -> float:
    """The true reward at which DPO and HyPO with a vanishing penalty are equally bad."""
    values = [imputed_value(scenario, learner, np.inf) for learner in (DPO, HYPO)]
    return float(gradient_limits.equal_gap_reward(scenario.env, scenario.env.reward, scenario.seen, *values)[0])
