"""The exact law of version spaces."""

import numpy as np

import banditlab as bl
from banditlab import function_classes
from experiments.coverage.function_classes.runs import ARMS, one_action_wrong


def sampling_policies(env: bl.Environment, rewards: np.ndarray, *, on_policy: bool) -> np.ndarray:
    """(2^M, S, A) log pi that samples when the survivors are the index's bits.

    Off-policy pi_0. On-policy pi_f of the survivor f farthest from pi* in KL(pi*||pi_f), pi* when only the truth is
    left; pi_0 as long as nothing has been ruled out.
    """
    log_reference, log_target = np.asarray(env.log_reference), np.asarray(env.log_target)
    sets = 1 << len(rewards)
    if not on_policy:
        return np.broadcast_to(log_reference, (sets, *log_reference.shape))
    induced = log_reference + rewards / float(env.beta)
    induced -= np.log(np.exp(induced).sum(axis=-1, keepdims=True))
    far = np.sum(np.exp(log_target) * (log_target - induced), axis=(1, 2))
    tables = [log_target]
    for chosen in range(1, sets - 1):
        members = [m for m in range(len(rewards)) if chosen >> m & 1]
        tables.append(induced[max(members, key=lambda m: far[m])])
    return np.stack([*tables, log_reference])


def exact_version_spaces(arm: str, num_pairs: int, num_rounds: int, beta: float) -> np.ndarray:
    """(num_rounds, 2^M) exact law of the survivor sets after every round."""
    error, on_policy = ARMS[arm]
    env, rewards = one_action_wrong(error, beta)
    tables = sampling_policies(env, rewards, on_policy=on_policy)
    return function_classes.survivor_law(env, rewards, np.asarray(env.reward), tables, num_pairs, num_rounds)[1:]
