"""The exact reward-KL frontier of a bandit: no policy at a given KL(pi||pi_ref) earns more.

E_pi R <= t KL(pi||pi_ref) + t log E_ref e^{R/t} for every temperature t > 0, with equality for pi ∝ pi_ref e^{R/t}; the
frontier is the lower envelope over t. A finite grid of t leaves an upper bound on the reward.
"""

import numpy as np

# 200 a decade: between two of them the envelope is missed by less than (log 10/200)^2/8 = 2e-5 of t Var_t(R/t).
TEMPERATURES = np.logspace(-4, 3, 1401)


def log_partition(reward: np.ndarray, log_reference: np.ndarray, temperature: float) -> float:
    """t log E_ref e^{R/t}: the largest E_p R - t KL(p||pi_ref) of all p."""
    return float(temperature * np.logaddexp.reduce(log_reference + reward / temperature))


def most_reward(
    reward: np.ndarray, log_reference: np.ndarray, kl: np.ndarray | float, temperatures: np.ndarray = TEMPERATURES
) -> np.ndarray:
    """The most that any policy with KL(pi||pi_ref) = `kl`, of any shape, earns; for reward and log pi_ref (A,)."""
    values = np.asarray([log_partition(reward, log_reference, t) for t in temperatures])
    return (np.asarray(kl)[..., None] * temperatures + values).min(axis=-1)


def least_gap(
    reward: np.ndarray,
    log_reference: np.ndarray,
    kl: np.ndarray | float,
    beta: float,
    temperatures: np.ndarray = TEMPERATURES,
) -> np.ndarray:
    """The least gap J(pi*) - J(pi) of any policy at that KL, J = E R - beta KL(pi||pi_ref); for R, log pi_ref (A,)."""
    best = log_partition(reward, log_reference, beta)
    return np.maximum(best - most_reward(reward, log_reference, kl, temperatures) + beta * np.asarray(kl), 0.0)
