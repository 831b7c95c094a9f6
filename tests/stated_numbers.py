"""Laws behind numbers of docs/numbers.toml: each computes one from a definition, apart from the text that states it."""

import math

import numpy as np
from scipy import integrate, optimize, stats

import banditlab as bl
from banditlab.exact.rare_action import label_price
from banditlab.exact.score_estimators import REINFORCE, RLOO, variances
from banditlab.theory import function_classes


def capped_gap(mass, beta, reward, margin):
    """Mean gap over beta C_F/(2n) at n = 1000 C_F of the fit capped at |theta*| + margin, two actions, by summation."""
    target = reward / beta
    price = label_price(mass, beta, target)
    labels, cap = round(1000 * price), abs(target) + margin
    informative = 2 * mass * (1 - mass)
    optimum = mass * np.exp(target) / (mass * np.exp(target) + 1 - mass)
    total = 0.0
    for shown in range(int(stats.binom.isf(1e-13, labels, informative)) + 2):
        wins = np.arange(shown + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            params = np.clip(np.log(wins / (shown - wins)) / beta, -cap, cap) if shown else np.zeros(1)
        policy = mass * np.exp(params) / (mass * np.exp(params) + 1 - mass)
        gap = beta * (policy * np.log(policy / optimum) + (1 - policy) * np.log((1 - policy) / (1 - optimum)))
        chance = stats.binom.pmf(wins, shown, 1 / (1 + np.exp(-reward)))
        total += stats.binom.pmf(shown, labels, informative) * (chance @ gap)
    return total / (beta * price / (2 * labels))


def reverse_is_faster(actions):
    """P(the logarithmic mean of two masses of q is below 1/A), q uniform on the simplex; A in (3, inf)."""
    level = 1.0 if np.isinf(actions) else 1 / actions

    def largest(first, most):
        """The second mass at which the logarithmic mean reaches the level, at most `most`."""

        def over(second):
            near = abs(first - second) < 1e-12
            return (first if near else (first - second) / np.log(first / second)) - level

        if over(most) <= 0:
            return most
        return 0.0 if over(1e-300) >= 0 else optimize.brentq(over, 1e-300, most)

    if np.isinf(actions):  # masses times A are independent exponentials
        share = integrate.quad(lambda x: np.exp(-x) * -np.expm1(-largest(x, 1e3)), 0, 60, limit=400, points=[1.0])
    else:
        share = integrate.quad(lambda x: 2 * largest(x, 1 - x), 0, 1, limit=400, points=[1 / 3])
    return share[0]


def first_step_ratio(peak, beta):
    """Way of one reverse over one forward step from the didactic reference, the peak's action against its equal."""
    edges = np.linspace(-1, 1, 101)
    with np.errstate(divide="ignore"):
        reference = np.diff(stats.cauchy.cdf(np.arctanh(edges), -0.7, 0.4))
    reward = np.exp(-(((np.arange(100) - peak) / 10) ** 2))
    return reference @ np.exp((reward - 1) / beta) / (beta * (1 - np.exp(-1 / beta)))


def rloo_over_reinforce(policy, draws):
    policy = np.asarray(policy) / sum(policy)
    found = variances(policy, np.log(len(policy) * policy), draws)
    return found[RLOO] / found[REINFORCE]


def survival(error, num_rounds, *, on_policy):
    """P(a wrong f is left) by the exact law of survivors, four pairs a round; pi_0 samples until one is ruled out."""
    reference, target = np.asarray([0.8, 0.08, 0.06, 0.04, 0.02]), np.asarray([0.2, 0.22, 0.21, 0.19, 0.18])
    reward = np.log(target / reference)
    env = bl.instances.tabular(reward[None], np.log(reference)[None])
    rewards = reward + error * np.eye(5)[1:, None, :]
    induced = np.log(reference) + rewards
    induced -= np.logaddexp.reduce(induced, axis=-1, keepdims=True)
    distance = (target * (np.log(target) - induced[:, 0])).sum(axis=1)
    policies = []
    for alive in range(16):
        members = [f for f in range(4) if alive >> f & 1]
        follows = on_policy and 0 < len(members) < 4
        policies.append(induced[max(members, key=lambda f: distance[f])] if follows else np.log(reference)[None])
    law = function_classes.survivor_law(env, rewards, reward[None], np.asarray(policies), 4, num_rounds)
    return 1 - law[-1, 0]


def ramp_bias(action, added, num_rounds):
    """KL(pi*||pi) of the population fit to a teacher wrong at one action of a ramp, the sampler refreshed by rounds."""
    steps, target, params = np.arange(6.0), 0.5, -1.0
    error = added * (steps == action)
    for _ in range(num_rounds):
        policy = np.exp(params * steps) / np.exp(params * steps).sum()
        centred = steps - policy @ steps
        params = target + (policy * centred) @ error / (policy @ centred**2)  # the regression of its error on phi
    log_ratio = (target - params) * steps - np.log(np.exp(target * steps).sum() / np.exp(params * steps).sum())
    return np.exp(target * steps) / np.exp(target * steps).sum() @ log_ratio


def least_stopping_penalty(beta):
    """min over h of beta sigma(-beta h)/(h sigma'(h)): the penalty at which two actions, uniform reference, stop."""

    def log_penalty(h):
        return np.log(beta) - np.logaddexp(0, beta * h) - np.log(h) + np.logaddexp(0, h) + np.logaddexp(0, -h)

    grid = np.geomspace(0.1, 1000, 2000)
    place = int(np.argmin(log_penalty(grid)))
    bounds = (grid[place - 1], grid[place + 1])
    return np.exp(optimize.minimize_scalar(log_penalty, bounds=bounds, method="bounded").fun)


def penalty_seen_to_stop(beta, step_size, num_steps):
    """The least penalty, to 0.001, whose gradient falls below 1e-8 in so many steps; two actions, uniform reference."""

    def stops(penalty):
        gap = 0.0
        for _ in range(num_steps):  # the two logits move by the slope and by minus that
            slope = beta / (1 + math.exp(beta * gap)) - penalty * gap / (2 + math.exp(gap) + math.exp(-gap))
            if math.sqrt(2) * abs(slope) < 1e-8:
                return True
            gap += 2 * step_size * slope
        return False

    escapes, stopped = 0.2, 0.3
    while stopped - escapes > 0.001:
        middle = (escapes + stopped) / 2
        escapes, stopped = (escapes, middle) if stops(middle) else (middle, stopped)
    return stopped


def greedy_gap(num_labels):
    """Mean gap of the greedy policy on the Zhu-Jordan-Jiao instance, over the binomial law of its repeated pair."""
    wins = np.arange(num_labels)  # of a_1 over a_2, whose reward is larger by 0.1
    chance = stats.binom.pmf(wins, num_labels - 1, 1 / (1 + np.exp(-0.1)))
    wrong = np.where(2 * wins < num_labels - 1, 1.0, np.where(2 * wins == num_labels - 1, 0.5, 0.0))
    return 1 / (1 + np.e) + 0.1 * chance @ wrong


def habit_coverage(noise, length, reward, beta):
    """E_pi*[pi*/pi_ref] of habit-target, listing all responses: one of 8 symbols is the target at every position."""
    symbol = np.full(8, noise / 8)
    symbol[1] += 1 - noise  # the habit; symbol 0 is the target
    tilt = np.where(np.arange(8) == 0, np.exp(reward / beta), 1.0)
    reference, weight = np.ones(1), np.ones(1)
    for _ in range(length):
        reference, weight = np.outer(reference, symbol).ravel(), np.outer(weight, tilt).ravel()
    target = reference * weight / (reference @ weight)
    return target @ (target / reference)
