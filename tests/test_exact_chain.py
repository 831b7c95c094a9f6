"""The exact laws of the two-action chain, against enumeration, symmetry and their asymptotics."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from scipy.special import expit, logit

from banditlab.exact import chain

SETTINGS = {"target": 0.8, "beta": 0.7, "max_norm": 3.0, "initial": -0.5}


def enumerated_round(theta, num_pairs, *, sampling, target, beta, max_norm):
    """The law of the next theta, from every sequence of (first action, second action, first wins)."""
    policy = {1: expit(sampling), 0: expit(-sampling)}
    law = defaultdict(float)
    outcomes = list(itertools.product((0, 1), (0, 1), (True, False)))
    for sequence in itertools.product(outcomes, repeat=num_pairs):
        probability, informative, wins = 1.0, 0, 0
        for first, second, first_wins in sequence:
            win_rate = expit(beta * target * (first - second))
            probability *= policy[first] * policy[second] * (win_rate if first_wins else 1 - win_rate)
            if first != second:
                informative += 1
                wins += (first if first_wins else second) == 1
        fitted = np.clip(logit(wins / informative) / beta, -max_norm, max_norm) if informative else theta
        law[round(float(fitted), 12)] += probability
    return law


def as_dict(params, probs):
    return {round(float(p), 12): float(q) for p, q in zip(params, probs, strict=True) if q > 0}


def merged(law):
    total = defaultdict(float)
    for theta, probability in zip(law.params, law.probs, strict=True):
        total[round(float(theta), 12)] += probability
    return total


def test_two_on_policy_rounds_equal_the_enumeration_of_all_label_sequences():
    target, beta, max_norm, initial = (SETTINGS[k] for k in ("target", "beta", "max_norm", "initial"))
    fixed = {"target": target, "beta": beta, "max_norm": max_norm}
    first = enumerated_round(initial, 3, sampling=initial, **fixed)
    second = defaultdict(float)
    for theta, mass in first.items():
        for after, probability in enumerated_round(theta, 3, sampling=theta, **fixed).items():
            second[after] += mass * probability
    law = chain.on_policy_law(3, 2, **SETTINGS)
    for expected, probs in zip((first, second), law.probs, strict=True):
        assert as_dict(law.params, probs) == pytest.approx(expected, abs=1e-14)


def test_offline_law_equals_the_enumeration_of_all_label_sequences():
    target, beta, max_norm, initial = (SETTINGS[k] for k in ("target", "beta", "max_norm", "initial"))
    expected = enumerated_round(initial, 4, sampling=initial, target=target, beta=beta, max_norm=max_norm)
    assert merged(chain.offline_law(4, **SETTINGS)) == pytest.approx(expected, abs=1e-14)


def test_first_on_policy_round_is_one_offline_batch():
    on_policy = chain.on_policy_law(40, 1, **SETTINGS)
    offline = merged(chain.offline_law(40, **SETTINGS))
    assert as_dict(on_policy.params, on_policy.probs[0]) == pytest.approx(dict(offline), abs=1e-14)


def test_laws_sum_to_one_over_many_rounds():
    on_policy = chain.on_policy_law(150, 12, **SETTINGS)
    offline = chain.offline_law(3000, **SETTINGS)
    np.testing.assert_allclose(on_policy.probs.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert abs(offline.probs.sum() - 1.0) < 1e-12
    assert np.all(on_policy.probs >= 0)


def test_states_are_the_distinct_fractions_and_the_caps():
    params, index = chain.state_space(4, beta=1.0, max_norm=10.0, initial=0.0)
    fractions = [1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4]  # the initial 0 is 1/2
    np.testing.assert_allclose(params, [-10.0, *logit(fractions), 10.0], atol=1e-15)
    assert index[2, 1] == index[4, 2] == index[0, 0]
    assert np.all(index[np.triu_indices(5, 1)] == -1)


def test_number_of_states_grows_as_three_over_pi_squared_times_the_square():
    params, _ = chain.state_space(150, beta=1.0, max_norm=100.0, initial=0.0)
    # Fractions in lowest terms with denominator at most n: 3 n^2 / pi^2 up to a term of order n log n.
    assert abs(params.size / (3 * 150**2 / np.pi**2) - 1) < 0.01


def test_equal_rewards_and_a_central_start_give_a_symmetric_law():
    law = chain.on_policy_law(20, 5, target=0.0, beta=1.3, max_norm=2.0)
    np.testing.assert_allclose(law.params, -law.params[::-1], atol=1e-15)
    np.testing.assert_allclose(law.probs, law.probs[:, ::-1], rtol=1e-11, atol=1e-16)


def test_a_wider_cap_moves_mass_off_it_and_raises_the_mean_divergence():
    laws = {cap: chain.offline_law(30, target=0.8, beta=1.0, max_norm=cap) for cap in (1.0, 2.0, 4.0, 8.0)}
    capped = [chain.absorbed_mass(law, cap) for cap, law in laws.items()]
    divergence = [chain.mean(law, chain.kl_target(law.params, 0.8)) for law in laws.values()]
    # Every cap lies beyond theta*, where KL increases with |theta|, outcome by outcome.
    assert np.all(np.diff(capped) <= 1e-15)
    assert np.all(np.diff(divergence) > 0)


def test_without_a_cap_absorption_is_for_ever_and_the_mean_divergence_infinite():
    law = chain.on_policy_law(10, 30, target=1.0, beta=1.0, max_norm=np.inf)
    absorbed = chain.absorbed_mass(law, np.inf)
    divergence = chain.kl_target(law.params, 1.0)
    assert np.all(np.diff(absorbed) > 0)
    assert absorbed[-1] > 0.99
    assert np.all(np.isposinf(chain.mean(law, divergence)))
    assert np.isfinite(chain.quantile(law, divergence, 0.5)[0])


def test_a_batch_far_above_the_recursion_threshold_is_still_absorbed_when_beta_is_large():
    # The note on beta under Proposition 4: n_c = (e^2/4) G* Gamma = 0.15 labels here, and yet.
    law = chain.on_policy_law(10, 8, target=0.0, beta=10.0, max_norm=20.0)
    absorbed = chain.absorbed_mass(law, 20.0)
    assert absorbed[0] == pytest.approx(2 * (0.75**10 - 0.5**10), rel=1e-12)
    assert absorbed[-1] == pytest.approx(0.61, abs=0.005)


def test_quantile_inverts_the_distribution_function():
    law = chain.ChainLaw(np.array([-1.0, 0.0, 1.0]), np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]))
    values = np.array([3.0, 1.0, 2.0])
    for level, expected in [(0.25, (1.0, 1.0)), (0.5, (2.0, 1.0)), (0.9, (3.0, 1.0)), (1.0, (3.0, 1.0))]:
        np.testing.assert_array_equal(chain.quantile(law, values, level), expected)


@pytest.mark.parametrize("initial", [0.0, -1.5])
def test_scaled_mean_divergence_tends_to_half_the_label_price_with_a_remainder_of_slope_minus_one(initial):
    labels = np.array([1000, 2000, 4000, 8000])
    settings = {"target": 0.8, "beta": 1.2, "max_norm": 4.0, "initial": initial}
    remainder = np.array([chain.relative_remainder(n, **settings) for n in labels])
    slope = np.diff(np.log(remainder)) / np.diff(np.log(labels))
    assert np.all(remainder > 0)
    # remainder = a/n + b/n^2 with b/a up to 22 here: the slope errs by b/(a n), 1.6% between 1000 and 2000.
    np.testing.assert_allclose(slope, -1.0, atol=0.03)
    assert np.all(np.diff(np.abs(slope + 1.0)) < 0)


def test_label_price_is_the_inverse_information_ratio_at_the_sampler():
    sampling, target, beta = 0.3, -0.9, 1.6
    p, q, win = expit(sampling), expit(target), expit(beta * target)
    expected = q * (1 - q) / (beta**2 * 2 * p * (1 - p) * win * (1 - win))
    assert chain.label_price(target=target, beta=beta, initial=sampling) == pytest.approx(expected, rel=1e-14)


def test_the_mean_remainder_needs_a_cap_beyond_the_target():
    for cap in (np.inf, 0.5):
        with pytest.raises(ValueError, match=r"max_norm must be finite and above \|target\| = 0.8; got"):
            chain.relative_remainder(100, target=0.8, beta=1.0, max_norm=cap)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_pairs": 0}, "num_pairs must be a whole number of at least 1; got 0"),
        ({"num_rounds": 0}, "num_rounds must be a whole number of at least 1; got 0"),
        ({"beta": -1.0}, "beta must be positive and finite; got -1.0"),
        ({"max_norm": 0.0}, "max_norm must be positive; got 0.0"),
        ({"initial": -5.0}, "initial must lie within max_norm = 3.0; got -5.0"),
        ({"target": np.inf}, "target must be finite; got inf"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        chain.on_policy_law(**({"num_pairs": 5, "num_rounds": 2} | SETTINGS | change))
