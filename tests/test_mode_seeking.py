"""Forward and reverse KL on a categorical (theory, section 8), the infinite-sample losses, and their experiments."""

import itertools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit, log_softmax, logit
from scipy.stats import cauchy
from tables import committed, failing

from banditlab.exact import population_losses as laws
from banditlab.exact import step_remainders, two_bins
from banditlab.exact.gaussian_mixtures import Mixture
from banditlab.theory import mode_seeking as ms
from banditlab.theory.mode_seeking import mixture_fits
from experiments.didactic import kl_directions, population_losses

FORWARD, REVERSE = ms.DIRECTIONS
POLICY, TARGET = np.log(np.random.default_rng(0).dirichlet(np.ones(6), 2))
GROUP = np.array([True, True, False, False, False, True])
# The bandit's reference, from its definition.
with np.errstate(divide="ignore"):
    REFERENCE = np.diff(cauchy.cdf(np.arctanh(np.linspace(-1, 1, 101)), -0.7, 0.4))


def _bump(peak, width):
    return np.exp(-(((np.arange(100) - peak) / width) ** 2))


# One step


@pytest.mark.parametrize("direction", ms.DIRECTIONS)
def test_the_descent_direction_is_the_negative_gradient(direction):
    def divergence(logits):
        log_policy = jax.nn.log_softmax(logits)
        p, q = (log_policy, TARGET) if direction == REVERSE else (TARGET, log_policy)
        return jnp.sum(jnp.exp(p) * (p - q))

    expected = -jax.grad(divergence)(jnp.asarray(POLICY))
    np.testing.assert_allclose(ms.descent_direction(POLICY + 3.0, TARGET - 1.0, direction), expected, atol=1e-14)


@pytest.mark.parametrize("direction", ms.DIRECTIONS)
@pytest.mark.parametrize("step", [1e-3, 1.0, 50.0])
def test_a_step_of_any_size_moves_log_ratios_linearly_and_log_masses_as_stated(direction, step):
    move = ms.descent_direction(POLICY, TARGET, direction)
    after, before = log_softmax(POLICY + step * move), log_softmax(POLICY)
    moved = (after[4] - after[1]) - (before[4] - before[1])
    linear = ms.log_ratio_change(POLICY, TARGET, direction, first=4, second=1, step=step)
    assert linear == pytest.approx(moved, rel=1e-10)
    change = ms.log_mass_change(POLICY, TARGET, direction, group=GROUP, step=step)
    expected = math.log(np.exp(after)[GROUP].sum() / np.exp(before)[GROUP].sum())
    assert change.exact == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert abs(change.exact - change.first_order) <= change.remainder_bound


@pytest.mark.parametrize("direction", ms.DIRECTIONS)
def test_the_remainder_is_half_a_difference_of_variances(direction):
    move, policy, step = ms.descent_direction(POLICY, TARGET, direction), np.exp(POLICY), 1e-4
    inside = policy * GROUP / policy[GROUP].sum()
    variances = [law @ move**2 - (law @ move) ** 2 for law in (inside, policy)]
    change = ms.log_mass_change(POLICY, TARGET, direction, group=GROUP, step=step)
    ratio = (change.exact - change.first_order) / (step**2 / 2)
    assert ratio == pytest.approx(variances[0] - variances[1], rel=1e-3)


def test_two_bins_of_equal_mass_move_by_the_two_formulas():
    p, q1, q2 = 0.2, 0.5, 0.1
    policy, target = np.log([p, p, 1 - 2 * p]), np.log([q1, q2, 1 - q1 - q2])
    moves = [ms.log_ratio_change(policy, target, d, first=0, second=1, step=0.3) for d in ms.DIRECTIONS]
    np.testing.assert_allclose(moves, [0.3 * (q1 - q2), 0.3 * p * math.log(q1 / q2)], rtol=1e-13)


def test_the_boundary_is_the_logarithmic_mean():
    first, second = np.array([0.5, 0.3, 0.02, 0.4]), np.array([0.1, 0.29, 0.6, 0.4])
    values = ms.boundary(first, second)
    unequal = ((first - second)[:3]) / np.log(first / second)[:3]
    np.testing.assert_allclose(values[:3], unequal, rtol=1e-13)
    assert values[3] == pytest.approx(0.4, rel=1e-15)
    extremes = np.array([0.25, 1e300, 1e-300]), np.array([5e-324, 1e-300, 1e-100])
    expected = (extremes[0] - extremes[1]) / (np.log(extremes[0]) - np.log(extremes[1]))
    np.testing.assert_allclose(ms.boundary(*extremes), expected, rtol=1e-13)
    np.testing.assert_allclose(values, ms.boundary(second, first), rtol=1e-14)
    assert (np.sqrt(first * second) <= values + 1e-15).all()
    assert (values <= (first + second) / 2 + 1e-15).all()
    z = np.log(first / second)[:3] / 2
    np.testing.assert_allclose((2 * values / (first + second))[:3], np.tanh(z) / z, rtol=1e-13)


def test_the_critical_temperature_is_where_the_reference_s_mean_tilt_is_the_uniform_law_s():
    for peak, expected in ((70, 0.00215338), (20, 0.22356689)):
        reward = _bump(peak, 10)

        def excess(beta, reward=reward):
            tilt = REFERENCE @ np.exp((reward - 1) / beta)
            return tilt - quad(lambda r: math.exp((r - 1) / beta), 0, 1, points=[1 - beta] if beta < 1 else None)[0]

        found = ms.critical_temperature(reward, np.log(REFERENCE))
        assert found == pytest.approx(expected, rel=1e-5)
        assert found == pytest.approx(brentq(excess, 0.9 * expected, 1.1 * expected, xtol=1e-14), rel=1e-6)
    assert REFERENCE @ _bump(20, 20) > 0.5
    assert ms.critical_temperature(_bump(20, 20), np.log(REFERENCE)) == math.inf
    # Rewards and temperature scale together.
    scaled = ms.critical_temperature(3 * _bump(20, 10) + 1, np.log(REFERENCE), high=4.0, low=1.0)
    assert scaled == pytest.approx(3 * 0.22356689, rel=1e-6)


@pytest.mark.parametrize("num_actions", [3, 10, 200])
def test_the_share_of_uniform_targets_is_the_drawn_one(num_actions):
    targets = np.random.default_rng(1).dirichlet(np.ones(num_actions), 100_000 if num_actions < 100 else 10_000)
    drawn = 1 / num_actions > ms.boundary(targets[:, 0], targets[:, 1])
    share = ms.reverse_share(num_actions)
    assert drawn.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(targets)))


# The whole way


def test_the_flows_of_two_actions_take_the_time_of_their_integrals():
    start, target = math.log(0.03 / 0.97), logit(0.8)
    for direction, ends in ((FORWARD, (0.3, 0.75)), (REVERSE, (0.3, 0.75))):
        times = []
        for end in ends:
            if direction == FORWARD:
                times.append(ms.two_action_time(0.03, end, 0.8))

                def speed(h):
                    return 2 * (0.8 - expit(h))
            else:

                def speed(h):
                    return 2 * expit(h) * expit(-h) * (target - h)

            expected = quad(lambda h: 1 / speed(h), start, logit(end))[0]
            if direction == FORWARD:
                assert times[-1] == pytest.approx(expected, rel=1e-8)
            else:
                times.append(expected)
        flow = ms.gradient_flow(np.log([0.03, 0.97]), np.log([0.8, 0.2]), direction, times)
        np.testing.assert_allclose(np.exp(flow[:, 0]), ends, rtol=1e-7)


@pytest.mark.parametrize("direction", ms.DIRECTIONS)
def test_a_flow_ends_at_the_target(direction):
    target = np.log(0.5 * np.exp(TARGET) + 0.5 / 6)  # the slowest rate is the least mass of the target
    flow = ms.gradient_flow(POLICY, target, direction, [0.0, 1.0, 800.0])
    np.testing.assert_allclose(flow[0], log_softmax(POLICY), atol=1e-14)
    np.testing.assert_allclose(np.exp(flow[-1]), np.exp(target), atol=1e-6)


def test_coordinates_invert_points_and_a_zero_that_is_not_there_is_infinite():
    ratios, covers = np.array([1.5, 40.0]), np.array([0.4, 3.0])
    log_policies, log_targets = two_bins.points(ratios, covers, mass=0.05, num_bins=10)
    found = two_bins.coordinates(log_policies[0], log_targets)
    np.testing.assert_allclose(found, (ratios, covers), rtol=1e-13)
    assert two_bins.zero(lambda at: at - 3.0, 1e-4, 100.0) == pytest.approx(3.0, rel=1e-12)
    assert two_bins.zero(lambda at: -at, 1e-4, 100.0) == math.inf


def test_a_third_order_bounds_the_remainders_of_steps_and_what_it_does_to_their_slope():
    policy, gradient, group = np.array([0.2, 0.5, 0.3]), np.array([1.0, -0.4, 0.1]), np.array([True, False, True])
    steps = np.array([0.05, 0.1])
    bounds = steps**2 * np.ptp(gradient) ** 2 / 8
    tilted = policy * np.exp(steps[:, None] * gradient)
    moved = np.log(tilted[:, group].sum(1) / tilted.sum(1) / policy[group].sum())
    laws_of = policy[group] / policy[group].sum(), policy
    means = laws_of[0] @ gradient[group], laws_of[1] @ gradient
    squares = laws_of[0] @ (gradient[group] - means[0]) ** 2 - laws_of[1] @ (gradient - means[1]) ** 2
    remainders = moved - steps * (means[0] - means[1])
    third = step_remainders.third_order(bounds)
    assert (np.abs(remainders - steps**2 / 2 * squares) <= third).all()
    slope, allowance = step_remainders.slope(steps, np.abs(remainders), third)
    assert 0 < abs(slope - 2) < allowance


# Fits


def test_the_forward_fit_matches_moments_and_the_reverse_fit_is_stationary():
    features = ms.quadratic_features(100)
    mixture = Mixture(0.56, 0.6, 0.08)
    target, found = mixture.log_masses, mixture_fits.fits(mixture)
    forward = np.exp(found[FORWARD].log_policy)
    np.testing.assert_allclose(forward @ features, np.tile(np.exp(target) @ features, (len(forward), 1)), atol=1e-10)
    for theta, log_policy, value in zip(*found[REVERSE][:3], strict=True):
        policy = np.exp(log_policy)
        assert value == pytest.approx(policy @ (log_policy - target), rel=1e-12)
        slope = policy @ ((features - policy @ features) * (log_policy - target)[:, None])
        np.testing.assert_allclose(slope, 0.0, atol=1e-10)
        np.testing.assert_allclose(log_policy, ms.members(features, theta), atol=1e-12)
    assert found[REVERSE].divergence[found[REVERSE].best] == found[REVERSE].divergence.min()
    # The first two starts are the components: each is near a minimum, at log 1/w or a little below. The third is broad,
    # and ends at a third minimum, which covers both modes.
    assert found[REVERSE].divergence[2] > 1.0
    np.testing.assert_allclose(found[REVERSE].divergence[:2], np.log([1 / 0.6, 1 / 0.4]), atol=1e-3)


def test_moments_of_a_law_on_the_bins_are_sums_over_them():
    mixture = Mixture(0.9, 0.5, 0.08)
    found, x = mixture.moments(np.exp(mixture.log_masses)), mixture.features[:, 0]
    assert found["mean"] == 0.0  # of a symmetric mixture, without rounding
    assert found["second_moment"] == pytest.approx(np.exp(mixture.log_masses) @ x**2)
    assert found["middle"] == pytest.approx(np.exp(mixture.log_masses)[np.abs(x) < 0.15].sum())


@pytest.mark.parametrize("direction", ms.DIRECTIONS)
def test_a_target_of_the_class_is_found(direction):
    features = ms.quadratic_features(40)
    params = np.array([2.0, -5.0])
    found = ms.fit(ms.members(features, params), features, direction, np.array([[0.0, 0.0], [-1.0, -1.0]]))
    np.testing.assert_allclose(found.params, np.tile(params, (2, 1)), atol=1e-7)
    np.testing.assert_allclose(found.divergence, 0.0, atol=1e-14)


def test_mode_seeking_refuses_what_it_cannot_do():
    cases = [
        (lambda: ms.descent_direction(POLICY, TARGET, "sideways"), "direction must be one of 'forward', 'reverse'"),
        (lambda: ms.descent_direction(POLICY, TARGET[:3], FORWARD), r"log_target must be \(6,\).*got \(3,\)"),
        (lambda: ms.descent_direction([0.0, 0.0], [0.0, -np.inf], REVERSE), "log_target must be finite; got -inf"),
        (lambda: ms.descent_direction([0.0], [-np.inf], FORWARD), "log_target must leave some action mass"),
        (lambda: ms.log_ratio_change(POLICY, TARGET, FORWARD, first=6, second=0, step=1.0), "first must be an action"),
        (lambda: ms.log_mass_change(POLICY, TARGET, FORWARD, group=[False] * 6, step=1.0), r"group must be \(6,\)"),
        (lambda: ms.boundary(0.0, 0.1), "first must be positive and finite; got 0.0"),
        (lambda: ms.critical_temperature(_bump(70, 10), np.log(REFERENCE), high=2.0), "high must be the largest"),
        (lambda: ms.critical_temperature([1.0], [0.0], low=1.0), "low must be below high = 1.0; got 1.0"),
        (lambda: ms.reverse_share(2), "num_actions must be at least 3; got 2"),
        (lambda: ms.gradient_flow(POLICY, TARGET, FORWARD, [1.0, 1.0]), "times must be non-negative and increasing"),
        (lambda: ms.two_action_time(0.1, 0.9, 0.8), "end must lie between start = 0.1 and target = 0.8; got 0.9"),
        (lambda: ms.quadratic_features(2), "num_actions must be at least 3; got 2"),
        (lambda: ms.fit(TARGET, np.ones((6, 1)), FORWARD, np.zeros((0, 1))), r"starts must not be empty; got \(0, 1\)"),
        (lambda: ms.fit(TARGET, np.ones((5, 1)), FORWARD, [[0.0]]), r"log_target must be \(5,\); got \(6,\)"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


# Infinite-sample losses

REWARD = np.array([0.3, 1.0, 0.0, 0.3])  # two actions tie
PROBS = np.array([0.2, 0.1, 0.4, 0.3])
NUMBERS = laws.Numbers(3, 0.7, 0.5, 0.8, 0.1)


def test_the_laws_of_winners_are_their_enumerations():
    best, worst, wins = np.zeros(4), np.zeros(4), np.zeros(4)
    for drawn in itertools.product(range(4), repeat=3):
        mass = PROBS[list(drawn)].prod()
        best[drawn[int(np.argmax(REWARD[list(drawn)]))]] += mass
        worst[drawn[int(np.argmin(REWARD[list(drawn)]))]] += mass
    for a, b in itertools.product(range(4), repeat=2):
        wins[a] += PROBS[a] * PROBS[b] * (REWARD[a] > REWARD[b])
    np.testing.assert_allclose(laws.best_law(REWARD, PROBS, 3), best, rtol=1e-13)
    np.testing.assert_allclose(laws.best_law(-REWARD, PROBS, 3), worst, rtol=1e-13)
    winners = laws.coefficients("pref_ft", REWARD, PROBS, NUMBERS)
    np.testing.assert_allclose(winners, wins / wins.sum(), rtol=1e-13)
    rest = (3 * PROBS - best) / 2
    negative = laws.coefficients("best_of_n_negative", REWARD, PROBS, NUMBERS)
    np.testing.assert_allclose(negative, best - 0.1 * rest, rtol=1e-12)


def test_awr_is_rwr_at_a_higher_temperature():
    weights = np.zeros(4)
    for drawn in itertools.product(range(4), repeat=3):
        rewards = REWARD[list(drawn)]
        np.add.at(weights, list(drawn), PROBS[list(drawn)].prod() * np.exp((rewards - rewards.mean()) / 0.7) / 3)
    np.testing.assert_allclose(laws.coefficients("awr", REWARD, PROBS, NUMBERS), weights, rtol=1e-12)
    limits = [
        laws.minimiser("awr", REWARD, np.log(PROBS), NUMBERS),
        laws.minimiser("rwr", REWARD, np.log(PROBS), replace(NUMBERS, beta=0.7 * 3 / 2)),
    ]
    np.testing.assert_allclose(*limits, rtol=1e-12)


@pytest.mark.parametrize("name", laws.FIXED)
def test_every_limit_is_a_zero_of_its_own_direction_and_descent_reaches_it(name):
    limit = laws.minimiser(name, REWARD, np.log(PROBS), NUMBERS)
    step = laws.direction(name, REWARD, PROBS, limit, np.log(PROBS), NUMBERS)
    np.testing.assert_allclose(step, 0.0, atol=1e-15)
    logits = np.log(PROBS)
    for _ in range(5000):
        logits = logits + 0.5 * laws.direction(name, REWARD, PROBS, log_softmax(logits), np.log(PROBS), NUMBERS)
    np.testing.assert_allclose(np.exp(log_softmax(logits)), np.exp(limit), atol=1e-3)


def test_offline_reinforce_moves_logits_at_a_constant_speed():
    steps = [laws.direction("reinforce", REWARD, PROBS, p, np.log(PROBS), NUMBERS) for p in (np.log(PROBS), POLICY[:4])]
    np.testing.assert_allclose(*steps, atol=1e-15)


@pytest.mark.parametrize("name", ["rwr", "awr", "pref_ft", "dpo", "ipo"])
def test_the_error_of_the_reward_at_the_minimiser_is_the_simulated_one(name):
    size, copies = 2000, 4000
    numbers = replace(NUMBERS, num_samples=2)
    law, weights, linear = laws.outcomes(name, REWARD, PROBS, numbers)
    spare = max(0.0, 1 - law.sum())  # pairs that drop out
    shares = np.append(law, spare) / (law.sum() + spare)
    counts = np.random.default_rng(2).multinomial(size, shares, copies)[:, :-1]
    limit = laws.minimiser(name, REWARD, np.log(PROBS), numbers)
    if linear:
        totals = counts @ weights
        policy = totals / totals.sum(1, keepdims=True)
    else:
        policy = np.exp(log_softmax(np.log(PROBS) + _newton(name, counts, weights, limit, numbers), axis=1))
    found = policy @ REWARD
    deviation, bias = laws.reward_error(name, REWARD, np.log(PROBS), numbers, size)
    centred = found - np.exp(limit) @ REWARD
    assert centred.mean() == pytest.approx(bias, abs=4 * deviation / math.sqrt(copies))
    # Of a normal sample; the next order in 1/size is 1% at most.
    assert centred.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * copies) + 0.01)


def _newton(name, counts, weights, limit, numbers):
    """(copies, A) log(pi/pi_ref) that minimise the loss of every sample."""
    ratio = np.tile(limit - np.log(PROBS), (len(counts), 1))
    free = weights[:, :-1]
    for _ in range(8):
        first, second, _ = laws.slopes(name, ratio @ weights.T, numbers)
        gradient = (counts * first) @ free
        hessian = np.einsum("co,oa,ob->cab", counts * second, free, free)
        ratio[:, :-1] -= np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    return ratio


# The experiments' checks


def test_one_cell_of_the_plane_on_the_wrong_side_is_caught():
    winners = committed("kl_directions")["plane"]["winner"].copy()
    winners[int(np.flatnonzero(winners == FORWARD)[0])] = REVERSE
    (claim,) = failing("kl_directions", "plane", winner=winners)
    assert "simulated winner" in claim


def test_bounds_of_the_two_experiments_are_caught_when_broken():
    parts = committed("kl_directions")
    for column, words in (("reverse_gradient_norm", "norm of a gradient"), ("reverse_kl", "least of a grid")):
        broken = parts["fit"][column] + 1e-3
        assert any(words in claim for claim in failing("kl_directions", "fit", **{column: broken}))
    bandits = parts["bandit"]
    slow = np.where(bandits["bandit"] == "wide", 0.99, bandits["speed_ratio"])
    assert any("at every beta" in claim for claim in failing("kl_directions", "bandit", speed_ratio=slow))
    parts = committed("population_losses")
    for part, column, words in (("trained", "failed", "not finite"), ("endless", "coefficient", "no minimum exists")):
        broken = np.ones(len(parts[part]))
        assert any(words in claim for claim in failing("population_losses", part, **{column: broken}))


def test_the_smoke_presets_have_the_cases_that_the_checks_read():
    assert set(population_losses.EXPERIMENT.presets["smoke"].trained) <= set(laws.FIXED)
    assert len(kl_directions.EXPERIMENT.presets["smoke"].separations) > 1
