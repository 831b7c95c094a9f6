"""Numbers in docs and README that no table holds: each is what its expression in docs/numbers.toml gives."""

import pathlib
import tomllib

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import banditlab as bl
from banditlab.exact.rare_action import label_price
from banditlab.exact.score_estimators import REINFORCE, RLOO, variances
from banditlab.theory import function_classes

CHECKOUT = pathlib.Path(__file__).parent.parent
NUMBERS = tomllib.loads((CHECKOUT / "docs/numbers.toml").read_text())["number"]


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


def staircase_ratio():
    env = bl.instances.staircase()
    laws = bl.samplers.initial(env, env.log_initial), bl.samplers.on_policy(env, env.log_target)
    first, second = (float(bl.theory.label_price(env, law)) for law in laws)
    return first / second


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number["expression"])
def test_a_number_in_the_text_is_what_its_expression_gives(number):
    text = " ".join((CHECKOUT / number["file"]).read_text().split())
    assert text.count(number["text"].format(number["value"])) == 1
    found = eval(number["expression"], globals())  # the project's own file
    decimals = len(number["value"].partition(".")[2])
    assert round(found, decimals) == float(number["value"]), found
