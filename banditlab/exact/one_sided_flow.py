"""Training on one-sided labels as a flow: by symmetry one equation for the gap between the winner and all others.

A uniform reference over A actions, and a winner that every label prefers, all others in equal shares. They keep equal
logits, so that with the winner's log-ratio to them D and s = -log(A - 1), gradient flow on the logits is

    dD/dt = A/(A-1) [pull(D) - push(D)],    pi(winner) = sigma(D + s),

with DPO's pull beta sigma(-beta D) and HyPO's push lambda D sigma'(D + s); policy gradients on J/beta with a reward gap
g have pull - push = (g/beta - D) sigma'(D + s). DPO's flow has the closed form beta D + e^{beta D} = 1 + A/(A-1)
beta^2 t, a gap that grows by log(10)/beta per decade.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import entr, expit, wrightomega

# Of the integration, where the closed form is not used.
ODE_TOLERANCE = 1e-9


def speed(gap: np.ndarray, num_actions: int, beta: float, penalty: float, reward_gap: float) -> np.ndarray:
    """dD/dt at gaps D; a reward gap of zero is training on the labels, a positive one on that reward."""
    push = expit(gap - math.log(num_actions - 1)) * expit(math.log(num_actions - 1) - gap)
    pull = (reward_gap / beta - gap) * push if reward_gap else beta * expit(-beta * gap) - penalty * gap * push
    return num_actions / (num_actions - 1) * pull


def gaps(times: np.ndarray, num_actions: int, beta: float, penalty: float, reward_gap: float) -> np.ndarray:
    """D at increasing positive times, from D = 0: the closed form for DPO, an integration for the others."""
    if penalty == 0 and reward_gap == 0:
        return np.log(wrightomega(1 + num_actions / (num_actions - 1) * beta**2 * times)) / beta

    def by_log_time(log_time: float, gap: np.ndarray) -> np.ndarray:
        return math.exp(log_time) * speed(gap, num_actions, beta, penalty, reward_gap)

    begin = np.log(times[0]) - 14.0  # by then the gap is at most a millionth of what the first time shows
    span = (begin, math.log(times[-1]) + 1e-9)
    first = math.exp(begin) * speed(np.zeros(1), num_actions, beta, penalty, reward_gap)
    found = solve_ivp(
        by_log_time, span, first, method="LSODA", t_eval=np.log(times), rtol=ODE_TOLERANCE, atol=ODE_TOLERANCE
    )
    return found.y[0]


def kl(gap: np.ndarray, num_actions: int) -> np.ndarray:
    """KL(pi||pi_ref) at gaps D; at most log A, whatever the gap."""
    winner = expit(gap - math.log(num_actions - 1))
    loser = expit(math.log(num_actions - 1) - gap)
    return math.log(num_actions) - entr(winner) - entr(loser) - loser * math.log(num_actions - 1)


def euler_remainder(
    gap: np.ndarray, step_size: float, num_actions: int, beta: float, penalty: float, reward_gap: float
) -> np.ndarray:
    """How far descent with this step size may be from the flow at gaps D.

    With T(D) the flow's time to D, T(D_n) - n eta = (eta/2) log(f(0)/f(D_n)) + O(eta^2), f the speed: half a step per
    e-fold of the speed. Its variation counts each e-fold up or down once, and all is doubled for the higher orders,
    smaller by eta |f'| < 1/2.
    """
    grid = np.linspace(0.0, gap.max(), 20_001)
    logs = np.log(np.abs(speed(grid, num_actions, beta, penalty, reward_gap)) + 1e-300)
    variation = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(logs)))])
    delay = step_size * np.interp(gap, grid, variation)
    return delay * np.abs(speed(gap, num_actions, beta, penalty, reward_gap)) + 1e-6 * gap
