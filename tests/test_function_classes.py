"""Function classes: coverage of finite classes, the exact version-space law, and the checks of their experiment."""

import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from tables import committed, failing

import banditlab as bl
from banditlab import coverage, function_classes
from banditlab.exact.finite_class import chosen_alone
from experiments.coverage.function_classes import runs
from experiments.coverage.function_classes.laws import sampling_policies
from tests.random_environments import random_environment, random_policy

SHAPE = (3, 4, 3)
NAME = "function_classes"


def maximising_direction(env, log_policy):
    """(S, A) phi v, v the direction with the largest v'V* v / v'V v."""
    phi, rho = np.asarray(env.features), np.asarray(env.context_probs)

    def spread(log_table):
        p = np.exp(log_table)
        centred = phi - np.einsum("xa,xad->xd", p, phi)[:, None]
        return np.einsum("x,xa,xad,xae->de", rho, p, centred, centred)

    covering, covered = spread(np.asarray(log_policy)), spread(np.asarray(env.log_target))
    values, vectors = np.linalg.eig(np.linalg.solve(covering, covered))
    return phi @ np.real(vectors[:, np.argmax(np.real(values))])


def test_the_l2_coverage_of_a_class_that_holds_the_worst_direction_is_the_operator_coverage():
    env = random_environment(0, SHAPE)
    rng, truth = np.random.default_rng(0), np.asarray(env.reward)
    log_policy = jnp.asarray(random_policy(1, SHAPE[:2]))
    others = np.einsum("xad,md->mxa", np.asarray(env.features), rng.standard_normal((20, 3)))
    worst = maximising_direction(env, log_policy)
    shift = rng.standard_normal((SHAPE[0], 1))  # c(x) is no error
    operator = float(coverage.operator(env, log_policy))
    found = function_classes.l2_coverage(
        env, truth + np.stack([*others, 3 * worst + shift]), truth, log_policy, env.log_target
    )
    assert found == pytest.approx(operator, rel=1e-10)
    assert function_classes.l2_coverage(env, truth + others, truth, log_policy, env.log_target) < operator


def test_l2_and_deviation_coverage_agree_with_their_definitions_summed_pair_by_pair():
    env = random_environment(2, SHAPE)
    rng, truth = np.random.default_rng(2), np.asarray(env.reward)
    rewards = truth + np.round(rng.standard_normal((5, *SHAPE[:2])))  # whole errors: ties among the deviations
    log_policy, log_target = random_policy(3, SHAPE[:2]), np.asarray(env.log_target)
    cells = list(itertools.product(range(SHAPE[0]), range(SHAPE[1]), range(SHAPE[1])))

    def tail(f, log_table, t):
        e, p, rho = f - truth, np.exp(log_table), np.asarray(env.context_probs)
        return sum(rho[x] * p[x, i] * p[x, j] for x, i, j in cells if abs(e[x, i] - e[x, j]) > t)

    ratios = [tail(f, log_target, t) / tail(f, log_policy, t) for f in rewards for t in (0.5, 1.5, 2.5, 3.5, 4.5, 5.5)
              if tail(f, log_policy, t) > 0]  # fmt: skip
    found = function_classes.deviation_coverage(env, rewards, truth, log_policy, log_target)
    assert found == pytest.approx(max(ratios), rel=1e-12)
    shown = function_classes.disagreement(env, rewards, truth, log_policy)
    assert np.allclose(shown, [tail(f, log_policy, 0.5) for f in rewards], rtol=1e-12)
    assert function_classes.l2_coverage(env, rewards, truth, log_policy, log_target) <= found * (1 + 1e-12)


def test_what_the_policy_never_shows_has_infinite_coverage_and_what_nobody_shows_none():
    env = bl.instances.tabular([[0.0, 1.0, 2.0]])
    truth = np.asarray(env.reward)
    wrong = truth + np.eye(3)[2:, None, :]
    with np.errstate(divide="ignore"):
        narrow = np.log([[0.5, 0.5, 0.0]])
    for ratio in (function_classes.l2_coverage, function_classes.deviation_coverage):
        assert ratio(env, wrong, truth, narrow, env.log_target) == math.inf
        assert ratio(env, wrong, truth, narrow, narrow) == 0.0
        assert ratio(env, truth[None] + 0.1, truth, narrow, env.log_target) == 0.0
    assert function_classes.smallest_disagreement(env, wrong, truth, narrow) == 0.0
    assert function_classes.smallest_disagreement(env, truth[None] + 0.1, truth, narrow) == 1.0
    assert function_classes.failure_bounds(env, wrong, truth, narrow, 9) == (1.0, 1.0)


@functools.cache
def small_class():
    env = random_environment(4, (2, 3, 2))
    truth = np.asarray(env.reward)
    errors = np.array([[[0, 0, 1], [0, 0, 0]], [[0, 1, 1], [0, 0, 0]], [[0, 0, 0], [2, 0, 1]]], float)
    return env, truth + errors, truth


def test_the_law_of_the_survivors_is_that_of_all_sequences_of_pairs():
    env, rewards, truth = small_class()
    errors = rewards - truth
    rng = np.random.default_rng(0)
    tables = np.log(rng.dirichlet(np.ones(3), (8, 2)))  # a policy of its own for every set of survivors
    cells = list(itertools.product(range(2), range(3), range(3)))
    fits = {c: sum(1 << m for m in range(3) if abs(errors[m, c[0], c[1]] - errors[m, c[0], c[2]]) < 0.5) for c in cells}

    def one_round(start, num_pairs):
        p, rho, law = np.exp(tables[start]), np.asarray(env.context_probs), np.zeros(8)
        for pairs in itertools.product(cells, repeat=num_pairs):
            left = functools.reduce(lambda left, cell: left & fits[cell], pairs, start)
            law[left] += math.prod(rho[x] * p[x, i] * p[x, j] for x, i, j in pairs)
        return law

    for num_pairs in (2, 3):
        found = function_classes.survivor_law(env, rewards, truth, tables, num_pairs, 2)
        first = one_round(7, num_pairs)
        assert np.allclose(found[1], first, rtol=0, atol=1e-13)
        second = sum(first[start] * one_round(start, num_pairs) for start in range(8))
        assert np.allclose(found[2], second, rtol=0, atol=1e-13)


def test_the_class_wrong_at_one_action_has_its_closed_form_and_the_bounds_hold():
    env, rewards = runs.one_action_wrong(runs.TOO_HIGH)
    truth, p = np.asarray(env.reward), np.asarray(runs.REFERENCE)
    found = function_classes.agreement(env, rewards, truth, env.log_initial)
    for index in range(16):
        inside = p[[m + 1 for m in range(4) if index >> m & 1]]
        assert found[index] == pytest.approx((1 - inside.sum()) ** 2 + (inside**2).sum(), rel=1e-12)
    tables = sampling_policies(env, rewards, on_policy=False)
    laws = function_classes.survivor_law(env, rewards, truth, tables, 5, 8)
    assert np.allclose(laws.sum(axis=1), 1.0, atol=1e-13)
    for k in range(1, 9):
        crude, union = function_classes.failure_bounds(env, rewards, truth, env.log_initial, 5 * k)
        survive = (1 - 2 * p[1:] * (1 - p[1:])) ** (5 * k)
        assert union == pytest.approx(survive.sum(), rel=1e-12)
        assert crude == pytest.approx(len(rewards) * survive.max(), rel=1e-12)
        # None of the four survives: inclusion and exclusion over those that would agree with the truth all along.
        signs = np.asarray([(-1) ** index.bit_count() for index in range(16)])
        assert laws[k, 0] == pytest.approx((signs * found ** (5 * k)).sum(), abs=1e-13)
        assert 0 < 1 - laws[k, 0] < union  # Bonferroni's inequality, strict where two can survive together


def test_two_functions_are_confused_as_often_as_a_direct_sum_over_the_outcomes_says():
    # One pair: shown with probability p_m, then the noise must carry the difference past the middle.
    expected = 2 * 0.08 * 0.92 * 0.5 * math.erfc(0.7 / math.sqrt(2))
    env, rewards = runs.one_action_wrong(1.4)
    shown = function_classes.disagreement(env, rewards, np.asarray(env.reward), np.asarray(env.log_initial))
    assert chosen_alone(shown, 1.4, 1.0, 1)[0] == pytest.approx(expected, rel=1e-12)
    assert chosen_alone(shown, 1.4, 1.0, 1, least=2.0).sum() == 0.0


def test_the_crude_bound_counts_every_function_that_is_given():
    env, rewards, truth = small_class()
    n, missed = 7, function_classes.disagreement(env, rewards, truth, env.log_initial)
    given = np.concatenate([rewards, truth[None], truth[None] + 1.0])  # two that do not differ modulo c(x)
    smallest = min(p for f, p in zip(rewards, missed, strict=True) if np.ptp(f - truth, axis=1).any())
    crude, union = function_classes.failure_bounds(env, given, truth, env.log_initial, n)
    assert crude == pytest.approx(len(given) * (1 - smallest) ** n, rel=1e-12)
    assert crude > union


def test_error_messages():
    env, rewards, truth = small_class()
    good = np.asarray(env.log_target)
    with pytest.raises(ValueError, match=r"rewards must be \(M, 2, 3\); got \(2, 3\)"):
        function_classes.disagreement(env, truth, truth, good)
    with pytest.raises(ValueError, match=r"rewards must not be empty; got \(0, 2, 3\)"):
        function_classes.disagreement(env, rewards[:0], truth, good)
    with pytest.raises(ValueError, match=r"truth must be \(2, 3\); got \(3,\)"):
        function_classes.l2_coverage(env, rewards, truth[0], good, good)
    with pytest.raises(ValueError, match="log_target must be log-probabilities"):
        function_classes.deviation_coverage(env, rewards, truth, good, np.zeros_like(good))
    with pytest.raises(ValueError, match="num_pairs must be a whole number of at least 1; got 0"):
        function_classes.failure_bounds(env, rewards, truth, good, 0)
    with pytest.raises(ValueError, match="rewards must hold at most 12 functions for a law; got 15"):
        function_classes.agreement(env, np.repeat(rewards, 5, axis=0), truth, good)
    with pytest.raises(ValueError, match=r"log_policies must be \(8, 2, 3\)"):
        function_classes.survivor_law(env, rewards, truth, good[None], 3, 1)


@pytest.mark.parametrize(
    ("part", "column", "words"),
    [
        ("version_spaces", "failure", "a wrong function survives"),
        ("least_squares", "errors", "two functions"),
        ("rate", "scaled_error", "tr(V* M^-1)"),
    ],
)
def test_a_measurement_that_is_wrong_by_eight_standard_errors_and_the_allowance_is_caught(part, column, words):
    table = committed(NAME)[part]
    wrong = table[column] + 8.1 * table[f"{column}_se"] + (table["allowance"] if part == "rate" else 0.0)
    assert any(words in claim for claim in failing(NAME, part, **{column: wrong}))


def test_a_bound_broken_once_is_caught():
    bound = 0.9 * committed(NAME)["bounds"]["union_bound"]
    assert any("exact failure probability over" in claim for claim in failing(NAME, "bounds", union_bound=bound))
    assert any("8 tau^2" in claim for claim in failing(NAME, "least_squares", exceed=0.2))
