"""The exact laws of version spaces and of least squares over a finite class."""

import math

import numpy as np
from scipy import stats

import banditlab as bl
from banditlab import function_classes
from experiments.coverage.function_classes.runs import ARMS, DELTA, one_action_wrong


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


def exact_version_spaces(arm: str, num_pairs: int, num_rounds: int) -> np.ndarray:
    """(num_rounds, 2^M) exact law of the survivor sets after every round."""
    error, on_policy = ARMS[arm]
    env, rewards = one_action_wrong(error)
    tables = sampling_policies(env, rewards, on_policy=on_policy)
    return function_classes.survivor_law(env, rewards, np.asarray(env.reward), tables, num_pairs, num_rounds)[1:]


def chosen_alone(error: float, noise: float, num_pairs: int, least: float = 0.0) -> np.ndarray:
    """(M,) exact P(least squares over {f*, f_m} takes f_m, and sum_i (Delta_fm - Delta*)^2 > least).

    B ~ Binomial(n, p_m) pairs show the difference, each by |error|: f_m is taken with probability Phi(-|error|
    sqrt(B)/(2 tau)). B = 0 is a tie, which goes to f*. The sum over m bounds the same for the whole class.
    """
    env, rewards = one_action_wrong(error)
    shown = function_classes.disagreement(env, rewards, np.asarray(env.reward), np.asarray(env.log_initial))
    counts = np.arange(1, num_pairs + 1)
    taken = stats.norm.cdf(-abs(error) * np.sqrt(counts) / (2 * noise)) * (error**2 * counts > least)
    return np.asarray([stats.binom.pmf(counts, num_pairs, p) @ taken for p in shown])


def threshold(num_functions: int) -> float:
    """log(|F|/delta), |F| with the truth: both bounds that hold with probability 1 - delta are made of it.

    Noiseless: f with p_f > log(|F|/delta)/n survives with probability (1-p_f)^n < delta/|F|. Least squares: f, of
    deviations g on the pairs, beats f* iff ||g||^2 <= 2 tau <eps, g>, so with probability Phi(-||g||/(2 tau)), at most
    delta/|F| once ||g||^2 > 8 tau^2 log(|F|/delta), by Phi(-s) <= e^{-s^2/2}. In either case sum over f.
    """
    return math.log((num_functions + 1) / DELTA)
